// SPDX-License-Identifier: Apache-2.0

//! The issuer as a service of its own, on loopback.

use std::fmt;
use std::net::Ipv4Addr;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::{DevIssuer, Now, OidcError};

/// An issuer that runs until this is dropped.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts an issuer at `http://127.0.0.1:<port>`, on any free port if `port` is 0, in a thread of its own.
///
/// See [`DevIssuer::generate`] for `auto_approve`.
///
/// # Errors
/// See [`OidcError`].
pub fn spawn(
    port: u16,
    auto_approve: Option<&str>,
    now: Now,
) -> Result<(DevIssuer, Running), OidcError> {
    let listener =
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(OidcError::Listen)?;
    listener.set_nonblocking(true).map_err(OidcError::Listen)?;
    let address = listener.local_addr().map_err(OidcError::Listen)?;
    let issuer = DevIssuer::generate(&format!("http://{address}"), auto_approve, now)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(OidcError::Listen)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let router = issuer.router();
    let thread = std::thread::Builder::new().name("development issuer".to_owned());
    let thread = thread
        .spawn(move || {
            runtime.block_on(async move {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    let serve = async { axum::serve(listener, router).await };
                    tokio::select! {
                        // Serving does not end by itself.
                        _ = serve => {}
                        _ = stopped => {}
                    }
                }
            });
        })
        .map_err(OidcError::Listen)?;
    Ok((issuer, Running { stop: Some(stop), thread: Some(thread) }))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::sync::Arc;

    use serde_json::Value;
    use types::time::Timestamp;

    use super::*;

    fn ask(issuer: &DevIssuer, method: &str, path: &str, body: &str) -> (u16, String) {
        let host = issuer.issuer().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    fn json(answer: (u16, String)) -> (u16, Value) {
        (answer.0, serde_json::from_str(&answer.1).unwrap())
    }

    const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";

    #[test]
    fn device_flow_with_approval() {
        let now: Now = Arc::new(|| Timestamp(1_700_000_000));
        let (issuer, _running) = spawn(0, None, now).unwrap();
        let (_, found) = json(ask(&issuer, "GET", "/.well-known/openid-configuration", ""));
        assert_eq!(found["issuer"], issuer.issuer());
        let (_, device) = json(ask(
            &issuer,
            "POST",
            "/device/code",
            "client_id=x&scope=a%20b&audience=https%3A%2F%2Fs%2F",
        ));
        let code = device["device_code"].as_str().unwrap().to_owned();
        let user = device["user_code"].as_str().unwrap().to_owned();
        let poll = format!("{GRANT}&device_code={code}&client_id=x");
        let (status, answer) = json(ask(&issuer, "POST", "/token", &poll));
        assert_eq!((status, answer["error"].as_str()), (400, Some("authorization_pending")));
        let (status, page) = ask(&issuer, "GET", &format!("/device?user_code={user}"), "");
        assert!(status == 200 && page.contains(&user) && page.contains("not for production"));
        let (status, _) = ask(&issuer, "POST", "/device", &format!("user_code={user}&subject=ann"));
        assert_eq!(status, 200);
        let (status, answer) = json(ask(&issuer, "POST", "/token", &poll));
        assert_eq!(status, 200);
        assert_eq!(answer["scope"], "a b");
        // A code is good for one token.
        let (status, answer) = json(ask(&issuer, "POST", "/token", &poll));
        assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let now: Now = Arc::new(|| Timestamp(1_700_000_000));
        let (issuer, _running) = spawn(0, Some("dev"), now).unwrap();
        let (status, answer) =
            json(ask(&issuer, "POST", "/token", "grant_type=password&username=a"));
        assert_eq!((status, answer["error"].as_str()), (400, Some("unsupported_grant_type")));
        let (status, _) = ask(&issuer, "POST", "/device", "user_code=AAAA-AAAA&subject=ann");
        assert_eq!(status, 400);
        let (_, page) = ask(&issuer, "GET", "/device?user_code=%22%3E%3Cscript%3E", "");
        assert!(!page.contains("<script"));
        // With automatic approval the first poll has the token.
        let (_, device) = json(ask(&issuer, "POST", "/device/code", "client_id=x"));
        let poll = format!("{GRANT}&device_code={}", device["device_code"].as_str().unwrap());
        let (status, answer) = json(ask(&issuer, "POST", "/token", &poll));
        assert_eq!((status, answer["token_type"].as_str()), (200, Some("Bearer")));
    }
}
