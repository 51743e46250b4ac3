// SPDX-License-Identifier: Apache-2.0

//! What an issuer says about itself (OpenID Connect Discovery 1.0), checked before anything is sent there.

use serde::Deserialize;
use types::limits;
use ureq::Agent;

use super::{OFFLINE, cannot, plain, read};
use crate::failure::{Context as _, Failure};

/// An issuer: its name, and where it is asked what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    document: Document,
}

/// The members of the discovery document that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Document {
    issuer: String,
    token_endpoint: String,
    authorization_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    response_types_supported: Vec<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

impl Provider {
    /// Asks the issuer at this URL about itself.
    ///
    /// # Errors
    /// If it cannot be reached, calls itself otherwise, or names places that nothing should be sent to.
    pub fn discover(agent: &Agent, issuer: &str) -> Result<Self, Failure> {
        check_url(issuer, issuer)?;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let response = agent.get(&url).call().context(cannot(issuer).what).map_err(|failure| {
            failure.next(
                "check --oidc-issuer (ENARX_OIDC_ISSUER), and --ca-bundle if it has a private CA",
            )
        })?;
        if response.status() != 200 {
            return Err(cannot(issuer).why(format!("{url} answered {}", response.status())).next(
                "check --oidc-issuer (ENARX_OIDC_ISSUER): wanted the URL of an OpenID Connect issuer",
            ));
        }
        Self::checked(issuer, read(&url, response)?)
    }

    fn checked(issuer: &str, document: Document) -> Result<Self, Failure> {
        // Discovery section 4.3: else one issuer could speak for another.
        if document.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
            return Err(cannot(issuer)
                .why(format!("it calls itself {}", plain(&document.issuer)))
                .next(
                    "give --oidc-issuer the name that it calls itself, if that is the one you trust",
                ));
        }
        let others = [
            &document.authorization_endpoint,
            &document.device_authorization_endpoint,
            &document.revocation_endpoint,
        ];
        for url in others.into_iter().flatten().chain([&document.token_endpoint]) {
            check_url(issuer, url)?;
        }
        Ok(Self { document })
    }

    /// What it calls itself.
    pub fn issuer(&self) -> &str {
        &self.document.issuer
    }

    /// Where tokens are got.
    pub(super) fn token_endpoint(&self) -> &str {
        &self.document.token_endpoint
    }

    /// Where the device flow begins, if it offers it.
    pub fn device(&self) -> Option<&str> {
        self.document.device_authorization_endpoint.as_deref()
    }

    /// Where a browser is sent, if it offers the code flow with PKCE by S256. One that is silent about PKCE may have it: what
    /// it ignores protects no less than it would without.
    pub fn authorization(&self) -> Option<&str> {
        let has = |list: &[String], what: &str| list.iter().any(|one| one == what);
        let methods = &self.document.code_challenge_methods_supported;
        let offered = has(&self.document.response_types_supported, "code")
            && (methods.is_empty() || has(methods, "S256"));
        self.document.authorization_endpoint.as_deref().filter(|_| offered)
    }

    /// Where tokens are given back, if it takes them.
    pub fn revocation(&self) -> Option<&str> {
        self.document.revocation_endpoint.as_deref()
    }

    /// Whether it gives refresh tokens to who asks.
    pub fn refreshes(&self) -> bool {
        self.document.scopes_supported.iter().any(|scope| scope == OFFLINE)
    }

    /// Whether its answers by the browser name it (RFC 9207).
    pub(super) fn names_itself(&self) -> bool {
        self.document.authorization_response_iss_parameter_supported
    }

    #[cfg(test)]
    pub(super) fn of(json: serde_json::Value) -> Result<Self, Failure> {
        let issuer = json["issuer"].as_str().unwrap().to_owned();
        Self::checked(&issuer, serde_json::from_value(json).unwrap())
    }
}

/// Whether this is a URL of plain http to this very machine.
fn at_home(url: &str) -> bool {
    url.strip_prefix("http://").is_some_and(|rest| {
        let authority = rest.split('/').next().unwrap_or_default();
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
            let port = authority.strip_prefix(host);
            port.is_some_and(|port| {
                port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok())
            })
        })
    })
}

/// Checks that what is sent to `url` is for its owner alone: by https, or on this very machine where the issuer is there too.
pub(super) fn check_url(issuer: &str, url: &str) -> Result<(), Failure> {
    let refused = |why: String| Err(cannot(&plain(issuer)).why(why));
    if url.len() > limits::OIDC_URL_BYTES_MAX {
        return refused(format!("a URL of it is longer than {} bytes", limits::OIDC_URL_BYTES_MAX));
    }
    if !url.bytes().all(|b| b.is_ascii_graphic()) || url.contains(['#', '@', '\\', '"', '<', '>']) {
        return refused(format!("{:?} is no URL of an issuer", plain(url)));
    }
    let https = |url: &str| {
        url.strip_prefix("https://")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['))
    };
    if https(url) || (at_home(url) && !https(issuer)) {
        return Ok(());
    }
    Err(cannot(issuer)
        .why(format!("{url} is not https"))
        .next("give --oidc-issuer an https URL; plain http is for issuers on this machine only"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for url in [
            "https://id.example.com",
            "http://127.0.0.1:5000",
            "http://localhost/x",
            "http://[::1]:1/a",
        ] {
            assert!(check_url("i", url).is_ok(), "{url}");
        }
        for url in [
            "http://id.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost:x",
            "ftp://localhost",
            "id",
            "http://127.0.0.1@evil",
            "https://a@evil",
            "https://",
            "https:///x",
            "https://a/#x",
            "https://a/ b",
            "https://a/\u{1b}[2J",
            &format!("https://a/{}", "x".repeat(limits::OIDC_URL_BYTES_MAX)),
        ] {
            assert!(check_url("i", url).is_err(), "{url}");
        }
        // What is asked by https is not answered for by somebody on this machine.
        assert!(check_url("https://id.example.com", "http://127.0.0.1:1/token").is_err());
    }

    fn document() -> serde_json::Value {
        json!({
            "issuer": "https://id.example.com",
            "token_endpoint": "https://id.example.com/token",
            "authorization_endpoint": "https://id.example.com/auth",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["plain", "S256"],
        })
    }

    #[test]
    fn every_place_is_looked_at_before_anything_is_sent() {
        let good = Provider::of(document()).unwrap();
        assert_eq!(good.authorization(), Some("https://id.example.com/auth"));
        assert!(good.device().is_none() && !good.refreshes() && !good.names_itself());
        for name in [
            "token_endpoint",
            "authorization_endpoint",
            "device_authorization_endpoint",
            "revocation_endpoint",
        ] {
            for bad in ["http://id.example.com/x", "http://127.0.0.1:1/x", "javascript:alert(1)"] {
                let mut wrong = document();
                wrong[name] = json!(bad);
                assert!(Provider::of(wrong).is_err(), "{name}: {bad}");
            }
        }
        let other = Document { issuer: "https://evil.example.com".into(), ..good.document };
        let failure = Provider::checked("https://id.example.com", other).unwrap_err();
        assert!(failure.why.unwrap().contains("evil"));
    }

    #[test]
    fn the_code_flow_needs_its_response_type_and_s256() {
        for (name, value) in [
            ("response_types_supported", json!(["id_token"])),
            ("code_challenge_methods_supported", json!(["plain"])),
        ] {
            let mut document = document();
            document[name] = value;
            assert_eq!(Provider::of(document).unwrap().authorization(), None, "{name}");
        }
    }
}
