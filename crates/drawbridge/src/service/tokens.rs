// SPDX-License-Identifier: Apache-2.0

//! The registry's own tokens: made and shown once, listed, revoked at once.

use drawbridge_core::rights::{TokenCreated, TokenInfo, TokenKind, TokenRequest};
use types::limits;

use super::Registry;
use super::asker::Asker;
use super::content::Content;
use super::refusal::Refusal;
use crate::auth::access::{Action, Caller, Denied, Grant};
use crate::auth::issuer::AuthError;
use crate::auth::owner::OwnerRecord;
use crate::auth::token::{OwnToken, TokenId, TokenRecord, issue};
use crate::store::{Kind, Put, StoreError, UserName};

/// Tokens, by owner and id.
pub(crate) const TOKENS: Kind<TokenRecord> = Kind::new("tokens", 2);

impl Registry {
    /// What a token of the registry's own stands for. Asked of the store each time: a token that was revoked by whichever
    /// instance is no good from then on.
    pub(super) fn own_token(&self, token: &OwnToken) -> Result<Grant, Refusal> {
        let [owner] = token.owner().parts();
        let record = self.store.table(&TOKENS).value(&[owner, token.id().as_str()])?;
        let now = self.clock.now();
        token.verify(record.as_ref(), now).map_err(|error| {
            tracing::info!(%error, owner, id = token.id().as_str(), "a token was refused");
            AuthError::Token(error)
        })?;
        let Some(TokenRecord { info, subject, .. }) = record else {
            return Err(Refusal::credentials());
        };
        let TokenInfo { id, kind, scopes, repos, .. } = info;
        Ok(Grant { owner: token.owner().clone(), id, kind, subject, scopes, repos })
    }

    fn tokens_of(&self, owner: &UserName) -> Result<Vec<TokenInfo>, StoreError> {
        let table = self.store.table(&TOKENS);
        let mut infos = Vec::new();
        for name in table.list(&owner.parts(), None, usize::MAX)? {
            let parts: Vec<&str> = name.iter().map(String::as_str).collect();
            // One that was revoked meanwhile is none.
            infos.extend(table.value(&parts)?.map(|record| record.info));
        }
        Ok(infos)
    }

    pub(super) fn list_tokens(&self, owner: &UserName) -> Result<Content, Refusal> {
        let mut infos = self.tokens_of(owner)?;
        infos.sort_by_key(|info| (info.created_at, info.id.clone()));
        Ok(Content::json(&infos))
    }

    pub(super) fn create_token(
        &self,
        asker: &Asker,
        owner: &UserName,
        record: Option<&OwnerRecord>,
        request: TokenRequest,
    ) -> Result<TokenCreated, Refusal> {
        request.check().map_err(|flaw| Refusal::bad(flaw, "record"))?;
        let Caller::Person(person) = &asker.caller else {
            return Err(Denied::PeopleOnly.into());
        };
        let kind = match record {
            Some(OwnerRecord::User(_)) => TokenKind::Personal,
            Some(OwnerRecord::Organisation(_)) => TokenKind::Robot,
            None => return Err(Denied::NoUser.into()),
        };
        let now = self.clock.now();
        let (ended, alive): (Vec<_>, Vec<_>) =
            self.tokens_of(owner)?.into_iter().partition(|info| info.expires_at <= now.0);
        if alive.len() >= limits::TOKENS_MAX {
            let detail = "there are 100 tokens of this owner, which is the most";
            return Err(Refusal::new(403, "Limit reached", detail, "store.limit")
                .hint("revoke those that are not needed"));
        }
        let [name] = owner.parts();
        let table = self.store.table(&TOKENS);
        for info in ended {
            table.delete(&[name, &info.id])?;
        }
        let failed = || {
            Refusal::new(500, "Internal error", "the system gives no random numbers", "internal")
        };
        let (token, record) =
            issue(owner, request, kind, &person.subject, now).ok_or_else(failed)?;
        let info = &record.info;
        let detail = format!(
            "made {}, which ends at {}: {:?} with {:?}",
            info.id,
            types::time::Timestamp(info.expires_at),
            info.scopes,
            info.repos
        );
        self.audited(asker, Action::ChangeTokens, owner, Some(detail), || {
            match table.create(&[name, &info.id], &record)? {
                Put::Created => Ok(()),
                Put::Same | Put::Conflict => Err(failed()),
            }
        })?;
        Ok(TokenCreated { token, info: record.info })
    }

    pub(super) fn revoke_token(
        &self,
        asker: &Asker,
        owner: &UserName,
        id: &TokenId,
    ) -> Result<(), Refusal> {
        let [name] = owner.parts();
        let (table, parts) = (self.store.table(&TOKENS), [name, id.as_str()]);
        if table.value(&parts)?.is_none() {
            return Err(Refusal::not_found("there is no such token"));
        }
        let detail = Some(format!("revoked {}", id.as_str()));
        self.audited(asker, Action::ChangeTokens, owner, detail, || Ok(table.delete(&parts)?))
    }
}
