// SPDX-License-Identifier: Apache-2.0

//! How buckets are reached: by the HTTP and TLS that the rest of the program uses, not by a second stack.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum, S3ConditionalPut};
use object_store::client::{
    ClientConfigKey, ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind,
    HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{Error, ObjectStore, RetryConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::StoreError;
use super::location::{BucketUrl, Provider};

/// How long connecting may take, without the TLS handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the head of an answer may take, from before the connection on.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a connection is kept for the next request. S3 closes after some 5 to 20 seconds.
const IDLE: Duration = Duration::from_secs(4);

/// How often, and for how long at most, a request is repeated that may be.
const RETRIES_MAX: usize = 3;
const RETRY: Duration = Duration::from_secs(20);
/// Names a file with roots for the servers of buckets, PEM, in place of the public ones; as other programs read it.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// The objects of a bucket, with credentials and endpoint from the usual variables of the environment.
///
/// # Errors
/// [`StoreError::Setup`] if they are missing or contradict each other, or this program was built without the provider.
pub(super) fn objects(url: &BucketUrl) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let connector = Connector { roots: roots()? };
    match url.provider {
        Provider::S3 => s3(AmazonS3Builder::from_env(), url, connector),
        #[cfg(feature = "gcs")]
        Provider::Gcs => {
            let builder = object_store::gcp::GoogleCloudStorageBuilder::from_env();
            let builder = builder.with_bucket_name(&url.bucket).with_retry(retry());
            built(builder.with_http_connector(connector).build())
        }
        #[cfg(feature = "azure")]
        Provider::Azure => {
            let builder = object_store::azure::MicrosoftAzureBuilder::from_env();
            let builder = builder.with_container_name(&url.bucket).with_retry(retry());
            built(builder.with_http_connector(connector).build())
        }
        #[cfg(not(all(feature = "gcs", feature = "azure")))]
        _ => Err(StoreError::Setup(format!(
            "{url}: this drawbridge was built without that provider; build it with the feature `gcs` or `azure`"
        ))),
    }
}

pub(super) fn s3(
    builder: AmazonS3Builder,
    url: &BucketUrl,
    connector: Connector,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let mut builder = builder
        .with_bucket_name(&url.bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // The server compares what it got; an upload that was garbled on its way fails.
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(retry());
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint).unwrap_or_default();
    if local(&endpoint) {
        builder = builder.with_allow_http(true);
    }
    built(builder.with_http_connector(connector).build())
}

fn built<T: ObjectStore>(
    result: object_store::Result<T>,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    match result {
        Ok(objects) => Ok(Arc::new(objects)),
        Err(error) => Err(StoreError::Setup(format!("the bucket cannot be used: {error}"))),
    }
}

/// Whether a URL is one of this machine's own, which needs no TLS.
fn local(endpoint: &str) -> bool {
    let host = endpoint.strip_prefix("http://").and_then(|rest| rest.split(['/', '?']).next());
    let host = host.map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host));
    host.is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    })
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY, ..RetryConfig::default() }
}

fn roots() -> Result<RootCertStore, StoreError> {
    let Some(path) = std::env::var_os(CA_BUNDLE) else {
        return Ok(verify::tls::web_pki_roots());
    };
    let unusable = || {
        let path = std::path::Path::new(&path).display();
        StoreError::Setup(format!("{CA_BUNDLE}: {path} has no certificates in PEM"))
    };
    let pem = std::fs::read(&path).map_err(|_| unusable())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|_| unusable())?).map_err(|_| unusable())?;
    }
    if roots.is_empty() { Err(unusable()) } else { Ok(roots) }
}

/// Makes clients for buckets, which trust these roots.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) roots: RootCertStore,
}

#[derive(Debug)]
struct Service(Client<HttpsConnector<Tcp>, HttpRequestBody>);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let config = ClientConfig::builder_with_provider(verify::provider_with_tls12())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Generic { store: "bucket", source: error.into() })?
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        let builder = HttpsConnectorBuilder::new().with_tls_config(config);
        let builder = match plain.as_deref() {
            Some("true") => builder.https_or_http(),
            _ => builder.https_only(),
        };
        let https = builder.enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(https);
        Ok(HttpClient::new(Service(client)))
    }
}

#[async_trait::async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let late = |_| {
            HttpError::new(
                HttpErrorKind::Timeout,
                std::io::Error::from(std::io::ErrorKind::TimedOut),
            )
        };
        let answer = tokio::time::timeout(ANSWER, self.0.request(request)).await.map_err(late)?;
        let answer = answer.map_err(|error| {
            // Before a connection stands, nothing was asked, and everything may be repeated.
            let kind = if error.is_connect() {
                HttpErrorKind::Connect
            } else {
                HttpErrorKind::Interrupted
            };
            HttpError::new(kind, error)
        })?;
        Ok(answer.map(|body| {
            let interrupted = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            HttpResponseBody::new(body.map_err(interrupted))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for url in ["http://localhost:5000", "http://127.0.0.1", "http://[::1]:80/x"] {
            assert!(local(url), "{url}");
        }
        for url in [
            "",
            "https://localhost",
            "http://10.0.0.1",
            "http://127.0.0.1.example.com",
            "http://localhost@x",
        ] {
            assert!(!local(url), "{url}");
        }
    }
}
