// SPDX-License-Identifier: Apache-2.0

//! A registry that says what it is told to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use chassis::clock::Clock;
use chassis::tls::ServerTls;
use chassis::{Bound, Service};
use drawbridge_client::Client;
use drawbridge_client::drawbridge_core::ContentDigest;
use testkit::pki::DevCa;
use types::slug::Slug;

const HOST: &str = "store.example.com";

pub(crate) fn slug() -> Slug {
    format!("{HOST}/ann/app:1.0.0").parse().unwrap()
}

#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: Option<String>,
    pub(crate) digest: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn of(body: &[u8], media_type: &str) -> Self {
        Self {
            status: 200,
            media_type: Some(media_type.to_owned()),
            digest: Some(ContentDigest::of(body).to_header()),
            body: body.to_vec(),
        }
    }
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, Answer>,
    asked: usize,
}

pub(crate) struct Liar {
    script: Arc<Mutex<Script>>,
    ca: DevCa,
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response<Body> {
    let mut script = script.lock().unwrap();
    script.asked += 1;
    let path = request.uri().path().strip_prefix("/api/v0.1.0").unwrap_or_default();
    let Some(answer) = script.answers.get(path).cloned() else {
        return Response::builder().status(404).body(Body::empty()).unwrap();
    };
    let mut response = Response::builder().status(answer.status);
    if let Some(value) = answer.media_type {
        response = response.header("content-type", value);
    }
    if let Some(value) = answer.digest {
        response = response.header("content-digest", value);
    }
    response.header("location", "/elsewhere").body(Body::from(answer.body)).unwrap()
}

impl Liar {
    pub(crate) fn start() -> Self {
        let now = Clock::System.now();
        let ca = DevCa::generate("TLS", now).unwrap();
        let (chain, key) = ca.issue_server(&[HOST], &[], now).unwrap();
        let tls = ServerTls::builder(chain.as_bytes(), key.as_bytes()).build().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let bound = Bound::new("127.0.0.1:0".parse().unwrap()).await.unwrap();
                let address = bound.addr();
                tell.send(address).unwrap();
                let service = Service::new("liar", address, tls, router);
                let shutdown = async move {
                    let _ = stopped.await;
                };
                let _ = bound.serve(service, shutdown).await;
            });
        });
        let address = told.recv().unwrap();
        Self { script, ca, address, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn says(&self, path: &str, answer: Answer) {
        self.script.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    pub(crate) fn is_silent_about(&self, path: &str) {
        self.script.lock().unwrap().answers.remove(path);
    }

    pub(crate) fn asked(&self) -> usize {
        self.script.lock().unwrap().asked
    }

    pub(crate) fn client(&self) -> Client {
        let address = self.address;
        let agent = verify::https::Agent::builder()
            .roots_pem(&self.ca.certificate_pem())
            .resolver(Arc::new(move |_, _| Ok(vec![address])))
            .clock(Clock::System.closure())
            .build();
        Client::new(HOST, agent.unwrap())
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
