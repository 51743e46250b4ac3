// SPDX-License-Identifier: Apache-2.0

//! What systemd wants to know of a service (sd_notify(3)): that it is ready, reloads, stops, and is still alive.
//!
//! All of it is advice: without `NOTIFY_SOCKET` nothing is said, and what cannot be said is not missed.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A line to the manager of this process, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Manager {
    line: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that we are alive.
    watchdog: Option<Duration>,
}

impl Manager {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub(crate) fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        Self {
            line: std::env::var_os("NOTIFY_SOCKET").and_then(|socket| connect(&socket)),
            watchdog: watchdog(
                variable("WATCHDOG_USEC").as_deref(),
                variable("WATCHDOG_PID").as_deref(),
            ),
        }
    }

    /// Sends one message: lines `NAME=value`.
    pub(crate) fn tell(&self, message: &str) {
        if let Some((socket, manager)) = &self.line {
            // A manager that does not listen is not our concern.
            let _ = socket.send_to_addr(message.as_bytes(), manager);
        }
    }

    /// Says that we are alive, twice as often as it is asked for. Never ends.
    pub(crate) async fn stay_alive(&self) {
        let (Some(_), Some(watchdog)) = (&self.line, self.watchdog) else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(watchdog / 2);
        loop {
            ticks.tick().await;
            self.tell("WATCHDOG=1");
        }
    }
}

/// The socket is named by an absolute path, or by a name in the abstract name space with `@` before it.
fn connect(name: &OsStr) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => return None,
    };
    let socket = UnixDatagram::unbound().ok()?;
    // A manager that is slow does not make us slow.
    socket.set_nonblocking(true).ok()?;
    Some((socket, address.ok()?))
}

fn watchdog(microseconds: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    if pid.is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let microseconds: u64 = microseconds?.parse().ok()?;
    (microseconds > 1).then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(name: impl AsRef<OsStr>, watchdog: Option<Duration>) -> Manager {
        Manager { line: connect(name.as_ref()), watchdog }
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_is_told_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        manager(&path, None).tell("READY=1");
        assert_eq!(heard(&socket), "READY=1");
        let name = format!("enarx-chassis-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        manager(format!("@{name}"), None).tell("STOPPING=1");
        assert_eq!(heard(&socket), "STOPPING=1");
    }

    #[test]
    fn nobody_who_listens_is_no_harm() {
        for name in ["/nonexistent/socket", "@nobody listens here", "relative", ""] {
            manager(name, None).tell("READY=1");
        }
        Manager::default().tell("READY=1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watchdog_is_fed_twice_as_often_as_it_asks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let manager = manager(&path, Some(Duration::from_secs(10)));
        let _ = tokio::time::timeout(Duration::from_secs(21), manager.stay_alive()).await;
        let mut fed = 0;
        while socket.recv(&mut [0; 64]).is_ok() {
            fed += 1;
        }
        assert_eq!(fed, 5, "at 0, 5, 10, 15 and 20 s");
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        let own = std::process::id().to_string();
        let ten = Some(Duration::from_secs(10));
        assert_eq!(watchdog(Some("10000000"), None), ten);
        assert_eq!(watchdog(Some("10000000"), Some(&own)), ten);
        for (microseconds, pid) in
            [(Some("10000000"), Some("1")), (Some("0"), None), (Some("x"), None), (None, None)]
        {
            assert_eq!(watchdog(microseconds, pid), None);
        }
    }
}
