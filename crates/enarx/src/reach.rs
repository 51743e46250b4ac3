// SPDX-License-Identifier: Apache-2.0

//! Reaching the services: HTTPS with the roots that the user named, registries with the user's token.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use drawbridge_client::{Client, Error};
use drawbridge_core::{RepoRecord, UserRecord};
use types::limits;
use types::slug::Slug;
use types::time::Timestamp;
use ureq::Agent;

use crate::cli::{ReachArgs, RegistryArgs};
use crate::failure::{Context as _, Failure};
use crate::files;
use crate::login;
use crate::tokens::{TokenStore, check_host};

/// The time of this machine.
#[allow(clippy::disallowed_methods, reason = "the one place where this program reads the clock")]
pub fn now() -> Timestamp {
    // A clock before 1970 is as wrong as one at it.
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// The roots that `args` name, as one PEM text; empty: the public Web PKI.
///
/// # Errors
/// If a file cannot be read or has no certificate.
pub fn roots_pem(args: &ReachArgs) -> Result<String, Failure> {
    let mut pem = String::new();
    for path in &args.ca_bundle {
        let text = files::read_text(path, limits::POLICY_BYTES_MAX)
            .map_err(|failure| failure.next("check --ca-bundle (ENARX_CA_BUNDLE)"))?;
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            return Err(Failure::new(format!(
                "cannot use {} as a bundle of roots",
                path.display()
            ))
            .why("it has no certificate in PEM")
            .next("check --ca-bundle (ENARX_CA_BUNDLE)"));
        }
        pem.push_str(&text);
        if !pem.ends_with('\n') {
            pem.push('\n');
        }
    }
    Ok(pem)
}

/// An HTTPS client that trusts the roots of `args`.
///
/// # Errors
/// As [`roots_pem`].
pub fn agent(args: &ReachArgs) -> Result<Agent, Failure> {
    agent_with(&roots_pem(args)?)
}

/// An HTTPS client that trusts these roots; the public Web PKI if there are none. Plain http goes to this machine only, and only
/// for the sake of development issuers: [`crate::oidc`] sends nothing else there.
///
/// # Errors
/// If the roots cannot be used.
pub fn agent_with(roots_pem: &str) -> Result<Agent, Failure> {
    let builder = verify::https::Agent::builder().clock(Arc::new(now)).insecure_plain_loopback();
    let builder =
        if roots_pem.is_empty() { builder.web_pki() } else { builder.roots_pem(roots_pem) };
    builder
        .build()
        .context("cannot reach anybody")
        .map_err(|failure| failure.next("check --ca-bundle (ENARX_CA_BUNDLE)"))
}

/// A registry, and who asks it.
#[derive(Debug)]
pub struct Registry {
    host: String,
    client: Client,
    token: Option<String>,
}

impl Registry {
    /// The registry at `host`, with the stored token if there is one that is still good or can be renewed, or with the given one.
    ///
    /// # Errors
    /// If `host` is no host, or roots or token cannot be read.
    pub fn open(host: &str, args: &RegistryArgs, store: &TokenStore) -> Result<Self, Failure> {
        check_host(host)?;
        let agent = agent(&args.reach)?;
        let token = match &args.token.insecure_auth_token {
            Some(token) => Some(token.clone()),
            None => login::current(&agent, store, host)?.map(|stored| stored.access_token),
        };
        let mut client = Client::new(host, agent);
        if let Some(token) = &token {
            client = client.with_token(token.clone());
        }
        Ok(Self { host: host.to_owned(), client, token })
    }

    /// The token.
    ///
    /// # Errors
    /// If nobody is logged in.
    pub fn token(&self) -> Result<&str, Failure> {
        self.token.as_deref().ok_or_else(|| {
            Failure::new(format!("not logged in to {}", self.host))
                .next(format!("log in with `enarx user login {}`", self.host))
        })
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What a call that failed looks like to the user.
    pub fn failure(&self, what: impl Into<String>, error: &Error) -> Failure {
        let failure = Failure::new(what).why(error);
        match (error.hint(), error.status(), &self.token, error) {
            (Some(hint), ..) => failure.next(hint),
            (None, Some(401 | 403), None, _) => failure.next(format!("log in with `enarx user login {}`", self.host)),
            (None, _, _, Error::Transport { .. }) => {
                failure.next("check that the registry is up and that its name is right; --ca-bundle (ENARX_CA_BUNDLE) names a private CA")
            }
            _ => failure,
        }
    }

    /// Registers a user.
    ///
    /// # Errors
    /// What the registry says.
    pub fn user_put(&self, user: &str, subject: &str) -> Result<(), Failure> {
        let record = UserRecord { subject: subject.to_owned() };
        match self.client.user_put(user, &record) {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(self.failure(format!("cannot register {}/{user}", self.host), &error))
            }
        }
    }

    /// Registers a repository.
    ///
    /// # Errors
    /// What the registry says.
    pub fn repo_put(&self, user: &str, repo: &str, record: &RepoRecord) -> Result<(), Failure> {
        match self.client.repo_put(user, repo, record) {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(self.failure(format!("cannot register {}/{user}/{repo}", self.host), &error))
            }
        }
    }

    /// Publishes `files` under `slug` and returns the digest.
    ///
    /// # Errors
    /// What the registry says.
    pub fn publish(
        &self,
        slug: &Slug,
        files: Vec<(String, Vec<u8>)>,
        progress: &mut dyn FnMut(drawbridge_client::Progress<'_>),
    ) -> Result<drawbridge_client::Published, Failure> {
        self.client.publish(slug, files, progress).map_err(|error| {
            self.failure(format!("cannot publish {}", slug.clone().without_digest()), &error)
        })
    }
}
