// SPDX-License-Identifier: Apache-2.0

//! Every request has a name, and the client learns it.

use enarx_chassis::Limits;

use crate::Running;
use crate::client::{Answer, Client};

fn id(answer: &Answer) -> String {
    let id = answer.head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    id.to_owned()
}

#[tokio::test]
async fn answers_and_problems_name_their_request() {
    let service = Running::start(Limits::default()).await;
    let mut client = Client::connect(service.addr, &service.ca).await;
    let (first, second) = (client.get("/id").await, client.get("/id").await);
    assert_ne!(id(&first), id(&second));
    assert_eq!(first.text(), id(&first), "the handler sees it too");
    // Problems of a handler, of the router, and of the frame itself.
    for path in ["/refuse", "/nothing", "/panic"] {
        let answer = client.get(path).await;
        assert_eq!(answer.problem().request_id, Some(id(&answer)), "{path}");
    }
    let large = vec![0; 2 * 1024 * 1024];
    let answer = client.post("/echo", &large).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.problem().request_id, Some(id(&answer)));
}

#[tokio::test]
async fn a_trace_that_the_client_began_goes_on() {
    let service = Running::start(Limits::default()).await;
    let mut client = Client::connect(service.addr, &service.ca).await;
    let mut ask = async |traceparent: &str| {
        let head =
            format!("GET /id HTTP/1.1\r\nhost: localhost\r\ntraceparent: {traceparent}\r\n\r\n");
        client.send(head.as_bytes()).await;
        id(&client.answer().await.unwrap())
    };
    let trace = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(ask(&format!("00-{trace}-b7ad6b7169203331-01")).await, trace);
    assert_ne!(ask(&format!("00-{trace}-0000000000000000-01")).await, trace);
}
