// SPDX-License-Identifier: Apache-2.0

//! A service that is told to stop.

use std::time::Duration;

use enarx_chassis::{Error, Limits};
use tokio::net::TcpStream;

use crate::Running;
use crate::client::Client;

#[tokio::test]
async fn requests_in_progress_end_and_no_new_ones_begin() {
    let mut service = Running::start(Limits::default()).await;
    let mut idle = Client::connect(service.addr, &service.ca).await;
    assert_eq!(idle.get("/").await.status, 200);
    // Connected, but without a handshake: no reason to wait.
    let _silent = TcpStream::connect(service.addr).await.unwrap();
    let mut busy = Client::connect(service.addr, &service.ca).await;
    busy.send(b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    service.waiting.notified().await;
    service.stop();
    assert_eq!(idle.rest().await, b"", "idle connections are closed");
    assert!(TcpStream::connect(service.addr).await.is_err(), "nothing listens any more");
    service.wake.notify_one();
    assert_eq!(busy.answer().await.unwrap().body, b"woken");
    assert!(service.end.await.unwrap().is_ok());
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let mut service =
        Running::start(Limits { drain: Duration::from_millis(50), ..Limits::default() }).await;
    let mut busy = Client::connect(service.addr, &service.ca).await;
    busy.send(b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    service.waiting.notified().await;
    service.stop();
    assert!(matches!(service.end.await.unwrap(), Err(Error::Unfinished(1))));
    assert_eq!(busy.rest().await, b"");
}
