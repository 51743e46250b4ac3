// SPDX-License-Identifier: Apache-2.0

//! A listening socket. Only connections whose handshake is over and whose peer was let in come out of it.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConnection;
use types::hostlink::Event;
use types::peer::Peer;

use crate::hostlink::{Level, Link};
use crate::net::connection::{Connection, Layer, OUTBOX_BYTES};
use crate::net::policy::{ServerTls, refusal};
use crate::net::shared::{Permit, Shared};
use crate::poll::{Interest, PollSet};

/// Most handshakes at a time. Pushed by anybody who reaches the port; more wait in the kernel's queue.
const PENDING_MAX: usize = 128;
/// Most connections that are ready and that the workload has not taken yet.
const READY_MAX: usize = 128;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to leave the kernel alone after it could not give a connection (no descriptors left, say).
const BACK_OFF: Duration = Duration::from_millis(100);

/// A listening socket of the workload.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    port: u16,
    tls: Option<ServerTls>,
    link: Link,
    shared: Arc<Shared>,
    pending: Vec<Pending>,
    ready: VecDeque<Connection>,
    resume: Option<Instant>,
    patience: Duration,
}

/// A handshake that goes on.
#[derive(Debug)]
struct Pending {
    socket: TcpStream,
    tls: Box<ServerConnection>,
    remote: SocketAddr,
    until: Instant,
    permit: Permit,
}

/// How far a handshake got.
enum Step {
    Waiting,
    Done,
    /// The other end is to blame, for this reason.
    Refused(String),
    /// The other end is gone.
    Gone,
}

impl Listener {
    pub(crate) fn new(
        socket: TcpListener,
        port: u16,
        tls: Option<ServerTls>,
        link: Link,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            socket,
            port,
            tls,
            link,
            shared,
            pending: Vec::new(),
            ready: VecDeque::new(),
            resume: None,
            patience: HANDSHAKE,
        }
    }

    /// Gives handshakes another time limit than [`HANDSHAKE`].
    #[cfg(test)]
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Takes a connection.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if none is ready.
    pub fn accept(&mut self) -> io::Result<Connection> {
        if self.ready.is_empty() {
            self.progress();
        }
        self.ready.pop_front().ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Whether [`Self::accept`] has one.
    pub fn ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes new connections and lets handshakes go on, as far as that goes without waiting.
    pub fn progress(&mut self) {
        self.shared.progress();
        self.take_new();
        let now = Instant::now();
        for mut pending in std::mem::take(&mut self.pending) {
            match pending.step() {
                Step::Waiting if now < pending.until => self.pending.push(pending),
                Step::Waiting => {
                    self.refuse(pending, "it did not finish the TLS handshake in time")
                }
                Step::Refused(reason) => self.refuse(pending, &reason),
                Step::Gone => {
                    self.link.log(
                        Level::Debug,
                        &format!("{} went away during the handshake", pending.remote),
                    );
                }
                Step::Done => self.admit(pending),
            }
        }
    }

    /// Adds to `set` what has to happen before [`Self::progress`] gets any further.
    pub fn register<'a>(&'a self, set: &mut PollSet<'a>) {
        self.shared.register(set);
        if self.takes_more() {
            match self.resume {
                Some(resume) => set.within(resume.saturating_duration_since(Instant::now())),
                None => set.add(self.socket.as_fd(), Interest::READ),
            }
        }
        for pending in &self.pending {
            let interest =
                Interest { read: pending.tls.wants_read(), write: pending.tls.wants_write() };
            set.add(pending.socket.as_fd(), interest);
            set.within(pending.until.saturating_duration_since(Instant::now()));
        }
    }

    fn takes_more(&self) -> bool {
        self.pending.len() < PENDING_MAX && self.ready.len() < READY_MAX && self.shared.has_room()
    }

    fn take_new(&mut self) {
        if self.resume.is_some_and(|resume| Instant::now() < resume) {
            return;
        }
        self.resume = None;
        while self.takes_more() {
            let (socket, remote) = match self.socket.accept() {
                Ok(accepted) => accepted,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                    _ => {
                        self.link.log(
                            Level::Warn,
                            &format!("port {}: cannot accept: {error}", self.port),
                        );
                        self.resume = Some(Instant::now() + BACK_OFF);
                        return;
                    }
                },
            };
            let Some(permit) = self.shared.permit() else { return };
            if let Err(error) = self.begin(socket, remote, permit) {
                self.link.log(Level::Debug, &format!("{remote} went away at once: {error}"));
            }
        }
    }

    fn begin(&mut self, socket: TcpStream, remote: SocketAddr, permit: Permit) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            let layer = Layer::Plain { outbox: Vec::new(), sent: 0 };
            let shared = Arc::clone(&self.shared);
            self.ready.push_back(Connection::new(
                socket,
                layer,
                remote,
                Peer::Anonymous,
                shared,
                permit,
            ));
            return Ok(());
        };
        let mut connection = tls.begin().map_err(io::Error::other)?;
        connection.set_buffer_limit(Some(OUTBOX_BYTES));
        let until = Instant::now() + self.patience;
        self.pending.push(Pending { socket, tls: Box::new(connection), remote, until, permit });
        Ok(())
    }

    /// The handshake is over, and with it everything the policy demands.
    fn admit(&mut self, pending: Pending) {
        let peer = self
            .tls
            .as_ref()
            .map_or(Peer::Anonymous, |tls| tls.peer(pending.tls.peer_certificates()));
        self.link.log(
            Level::Debug,
            &format!("{} connected to port {}: {}", pending.remote, self.port, peer.to_json()),
        );
        let layer = Layer::Tls(Box::new((*pending.tls).into()));
        let shared = Arc::clone(&self.shared);
        self.ready.push_back(Connection::new(
            pending.socket,
            layer,
            pending.remote,
            peer,
            shared,
            pending.permit,
        ));
    }

    /// Sends the alert that is queued, if any, and leaves the one line and the event.
    fn refuse(&self, mut pending: Pending, reason: &str) {
        let mut alert = Vec::new();
        while matches!(pending.tls.write_tls(&mut alert), Ok(count) if count > 0) {}
        self.shared.linger(pending.socket, alert, true);
        self.link
            .log(Level::Warn, &format!("port {}: refused {}: {reason}", self.port, pending.remote));
        self.link.event(Event::Refused {
            address: pending.remote.to_string(),
            reason: reason.to_owned(),
        });
    }
}

impl Pending {
    fn step(&mut self) -> Step {
        loop {
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut &self.socket) {
                    Ok(0) => return Step::Gone,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return Step::Gone,
                }
            }
            if !self.tls.is_handshaking() {
                return Step::Done;
            }
            match self.tls.read_tls(&mut &self.socket) {
                Ok(0) => return Step::Gone,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Waiting,
                Err(_) => return Step::Gone,
            }
            if let Err(error) = self.tls.process_new_packets() {
                return Step::Refused(refusal(&error));
            }
        }
    }
}
