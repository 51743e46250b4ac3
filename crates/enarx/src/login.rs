// SPDX-License-Identifier: Apache-2.0

//! Being logged in to a registry: how it begins, how it goes on, how it ends.

use std::time::Duration;

use types::limits;
use types::time::Timestamp;
use ureq::Agent;

use crate::browser::Browser;
use crate::failure::Failure;
use crate::oidc::{self, Device, Provider, Refusal, Request, Token};
use crate::output;
use crate::reach;
use crate::tokens::{Refresh, StoredToken, TokenStore, check_host};

/// Where the user agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// In a browser on this machine if there is one, else as [`How::Device`] where the issuer offers that.
    Whichever,
    /// In a browser on this machine.
    Browser,
    /// In a browser on whatever machine, where a code is typed.
    Device,
}

/// What the user is to be told.
#[derive(Debug)]
pub enum Prompt<'a> {
    /// To go to a page, with a code.
    Device(&'a Device),
    /// To go to this page, by a browser on this machine; it is shown already if `shown`.
    Browser {
        /// The page.
        url: &'a str,
        /// Whether a browser was called.
        shown: bool,
    },
}

/// At which registry one logs in, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The registry.
    pub host: &'a str,
    /// URL of the issuer that it trusts.
    pub issuer: &'a str,
    /// Identifier of this program there.
    pub client_id: &'a str,
    /// For whom the token is to be, if not as [`audience`] says.
    pub audience: Option<&'a str>,
}

/// For whom tokens of this registry are, if its operator did not say otherwise.
pub fn audience(host: &str) -> String {
    format!("https://{host}/")
}

/// Logs in and keeps the token; `prompt` shows the user what to do.
///
/// # Errors
/// As [`oidc::device_flow`] and [`oidc::code_flow`], and if the token cannot be kept.
pub fn login(
    agent: &Agent,
    at: At<'_>,
    how: How,
    store: &TokenStore,
    prompt: &mut dyn FnMut(Prompt<'_>),
) -> Result<StoredToken, Failure> {
    check_host(at.host)?;
    let provider = Provider::discover(agent, at.issuer)?;
    let audience = at.audience.map_or_else(|| audience(at.host), str::to_owned);
    let request = Request { client_id: at.client_id, audience: &audience, scope: oidc::SCOPES };
    let browser = Browser::find();
    let by_browser = match how {
        How::Browser => true,
        How::Device => false,
        How::Whichever => {
            provider.authorization().is_some() && (browser.is_some() || provider.device().is_none())
        }
    };
    let token = if by_browser {
        let longest = Duration::from_secs(limits::LOGIN_SECONDS_MAX);
        oidc::code_flow(agent, &provider, request, longest, &reach::now, |url| {
            let shown = browser.is_some_and(|browser| browser.show(url));
            prompt(Prompt::Browser { url, shown });
        })?
    } else {
        oidc::device_flow(agent, &provider, request, |device| prompt(Prompt::Device(device)))?
    };
    let refresh = token.refresh_token.clone().map(|token| Refresh {
        token,
        client_id: at.client_id.to_owned(),
        audience: audience.clone(),
    });
    let stored = StoredToken {
        host: at.host.to_owned(),
        issuer: provider.issuer().to_owned(),
        expires: end(&token),
        access_token: token.access_token,
        refresh,
    };
    let _lock = store.lock(at.host)?;
    store.put(&stored)?;
    Ok(stored)
}

fn end(token: &Token) -> Option<Timestamp> {
    token.expires_in.map(|seconds| reach::now().plus(seconds))
}

/// The token for `host` that is good now: renewed if it is about to end and can be. None if there is none; why not is said on
/// standard error.
///
/// # Errors
/// If what is kept cannot be read.
pub fn current(
    agent: &Agent,
    store: &TokenStore,
    host: &str,
) -> Result<Option<StoredToken>, Failure> {
    let Some(token) = store.get(host)? else {
        return Ok(None);
    };
    if !token.ends_soon(reach::now()) {
        return Ok(Some(token));
    }
    let token = match token.refresh {
        Some(_) => match renew(agent, store, host) {
            Ok(renewed) => renewed,
            Err(failure) => {
                let good = !token.ended(reach::now());
                if !good {
                    output::talk(&format!("warning: {failure}"));
                }
                good.then_some(token)
            }
        },
        None => Some(token),
    };
    Ok(token.filter(|token| !token.ended(reach::now())))
}

/// Renews the token for `host`, one program at a time: a refresh token may be good for one use only.
fn renew(agent: &Agent, store: &TokenStore, host: &str) -> Result<Option<StoredToken>, Failure> {
    let _lock = store.lock(host)?;
    // Somebody else may have renewed it meanwhile, or logged out.
    let Some(mut token) = store.get(host)? else {
        return Ok(None);
    };
    let Some(refresh) = token.refresh.take().filter(|_| token.ends_soon(reach::now())) else {
        return store.get(host);
    };
    let provider = Provider::discover(agent, &token.issuer)?;
    // A file that cannot be written must be known before the old token is used up.
    store.put(&StoredToken { refresh: Some(refresh.clone()), ..token.clone() })?;
    let Refresh { client_id, audience, .. } = &refresh;
    let request = Request { client_id, audience, scope: oidc::SCOPES };
    match oidc::refresh(agent, &provider, request, &refresh.token) {
        Ok(new) => {
            token.expires = end(&new);
            let next = new.refresh_token.unwrap_or_else(|| refresh.token.clone());
            token.refresh = Some(Refresh { token: next, ..refresh });
            token.access_token = new.access_token;
            store.put(&token)?;
            Ok(Some(token))
        }
        Err(Refusal::Ended(why)) => {
            store.put(&token)?;
            output::talk(&format!(
                "warning: {} takes this login no more: {why}; log in again with `enarx user login {host}`",
                token.issuer
            ));
            Ok(Some(token))
        }
        Err(Refusal::Now(failure)) => Err(failure),
    }
}

/// What became of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There was none.
    Never,
    /// It is forgotten here, and the issuer takes its tokens no more.
    Everywhere,
    /// It is forgotten here; the issuer has nothing to take back, or no way to.
    Here,
    /// It is forgotten here, but the issuer could not be told.
    Untold(Failure),
}

/// Forgets the login at `host`, and has the issuer do so.
///
/// # Errors
/// If it cannot be forgotten here.
pub fn logout(agent: &Agent, store: &TokenStore, host: &str) -> Result<Ended, Failure> {
    check_host(host)?;
    let _lock = store.lock(host)?;
    // One that cannot be read is forgotten as well.
    let token = store.get(host).ok().flatten();
    if !store.remove(host)? {
        return Ok(Ended::Never);
    }
    let Some(StoredToken { issuer, refresh: Some(refresh), .. }) = token else {
        return Ok(Ended::Here);
    };
    let told = Provider::discover(agent, &issuer)
        .and_then(|provider| oidc::revoke(agent, &provider, &refresh.client_id, &refresh.token));
    Ok(match told {
        Ok(true) => Ended::Everywhere,
        Ok(false) => Ended::Here,
        Err(failure) => Ended::Untold(failure),
    })
}
