// SPDX-License-Identifier: Apache-2.0

//! Who asks, from where, and what is written down of it.

use std::fmt::Display;
use std::net::SocketAddr;

use drawbridge_core::rights::TokenKind;
use types::digest::Sha256;

use super::Registry;
use super::refusal::Refusal;
use crate::audit::{Event, Outcome};
use crate::auth::access::{Action, Caller};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) caller: Caller,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) request_id: Option<String>,
}

impl Asker {
    /// In one line, without anything that opens something.
    fn who(&self) -> String {
        match &self.caller {
            Caller::Anonymous => "anonymous".to_owned(),
            Caller::Person(person) => format!("person:{}", person.subject),
            Caller::Token(grant) => {
                let kind = match grant.kind {
                    TokenKind::Personal => "personal",
                    TokenKind::Robot => "robot",
                };
                format!("token:{}/{} ({kind})", grant.owner, grant.id)
            }
            Caller::Machine(token) => format!("machine:{} of {}", token.subject, token.issuer),
            Caller::Keep(chain) => match chain.first() {
                Some(leaf) => format!("keep:certificate {}", Sha256::of(leaf)),
                None => "keep:no certificate".to_owned(),
            },
        }
    }
}

/// As the log names it.
pub(super) const fn name_of(action: Action) -> &'static str {
    match action {
        Action::Register => "register",
        Action::ReadOwner => "read-owner",
        Action::ChangeOwner => "change-owner",
        Action::ReadTokens => "read-tokens",
        Action::ChangeTokens => "change-tokens",
        Action::ReadRepo => "read-repo",
        Action::CreateRepo => "create-repo",
        Action::ChangeRepo => "change-repo",
        Action::ReadRights => "read-rights",
        Action::ChangeRights => "change-rights",
        Action::ReadPublishers => "read-publishers",
        Action::ChangePublishers => "change-publishers",
        Action::FindRepo => "find-repo",
        Action::ListTags => "list",
        Action::ReadTag => "read",
        Action::Discover => "discover",
        Action::WriteTag => "publish",
        Action::Yank => "yank",
        Action::Sign => "sign",
        Action::Delete => "delete",
        Action::ReadKeys => "read-keys",
        Action::ChangeKeys => "change-keys",
    }
}

impl Registry {
    fn event(&self, asker: &Asker, action: Action, name: &dyn Display, outcome: Outcome) -> Event {
        Event {
            time: self.clock.now(),
            action: name_of(action).to_owned(),
            outcome,
            name: name.to_string(),
            who: asker.who(),
            client: asker.address.map(|address| address.to_string()),
            request_id: asker.request_id.clone(),
            check: None,
            detail: None,
        }
    }

    /// Writes down that something is about to be done; it must not be done if that fails.
    pub(crate) fn granted(
        &self,
        asker: &Asker,
        action: Action,
        name: &dyn Display,
        detail: Option<String>,
    ) -> Result<(), Refusal> {
        let event = Event { detail, ..self.event(asker, action, name, Outcome::Granted) };
        self.audit.record(&event).map_err(|error| {
            tracing::error!(error, "an event could not be written to the audit log");
            Refusal::unrecorded()
        })
    }

    /// Writes down that something is not done. Whoever has shown nothing at all is not written down: that would be a way to
    /// fill the disk, and says nothing.
    pub(crate) fn refused(
        &self,
        asker: &Asker,
        action: Action,
        name: &dyn Display,
        outcome: Outcome,
        refusal: &Refusal,
    ) {
        if matches!(asker.caller, Caller::Anonymous) {
            return;
        }
        let (check, detail) = refusal.reason();
        let event = Event { check, detail, ..self.event(asker, action, name, outcome) };
        if let Err(error) = self.audit.record(&event) {
            tracing::error!(error, "a refusal could not be written to the audit log");
        }
    }

    /// Does something that changes who may do what, between two lines: one before it takes effect, and one if it did not.
    pub(super) fn audited<T>(
        &self,
        asker: &Asker,
        action: Action,
        name: &dyn Display,
        detail: Option<String>,
        work: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.granted(asker, action, name, detail)?;
        let result = work();
        if let Err(refusal) = &result {
            self.refused(asker, action, name, Outcome::Failed, refusal);
        }
        result
    }
}
