// SPDX-License-Identifier: Apache-2.0

//! Getting a piece: out of the cache while it is young, from its source otherwise, and out of the cache again when the source
//! fails. Nothing enters the cache but what was asked for, holds, and is signed by its vendor.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use types::time::Timestamp;

use super::authentic::{Roots, authenticate};
use super::cache::{Cache, Entry, Put};
use super::fetch::{Answer, Base, FetchError, Fetcher, Request};
use super::piece::{Piece, Vek};
use super::recognise::Recognised;
use super::standing::{revoked, void};
use super::{kds, pcs};
use crate::failure::Failure;

/// Age from which a dated piece is asked for again, in seconds, unless told otherwise (a day).
pub const AGE_MAX_SECONDS: u64 = 86_400;

/// When to ask the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// If the piece is missing, at its end, or dated and older than [`AGE_MAX_SECONDS`].
    IfNeeded,
    /// If the piece is dated, or missing, or at its end.
    Dated,
    /// In any case.
    Always,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Fetched,
    /// The source has the same.
    Unchanged,
    /// The cache's is young enough; nobody was asked.
    Cached,
    /// The source failed, and the cache's still holds: why.
    Kept(String),
    /// There is none: why.
    Failed(String),
}

impl Outcome {
    /// One word, for machines.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Unchanged => "unchanged",
            Self::Cached => "cached",
            Self::Kept(_) => "kept",
            Self::Failed(_) => "failed",
        }
    }

    /// Why the source was no help.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Kept(why) | Self::Failed(why) => Some(why),
            _ => None,
        }
    }
}

/// A piece and what came of asking for it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was asked for.
    pub piece: Piece,
    /// What came of it.
    pub outcome: Outcome,
    /// What is in the cache now.
    pub entry: Option<Entry>,
}

/// Where pieces come from.
#[derive(Clone)]
pub struct Sources {
    /// AMD's service.
    pub kds: Base,
    /// Intel's service, or a caching service.
    pub pcs: Base,
    /// Subscription key for Intel's service.
    pub key: Option<String>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kds, pcs, key: _ } = self;
        f.debug_struct("Sources").field("kds", kds).field("pcs", pcs).finish_non_exhaustive()
    }
}

impl Sources {
    /// The subscription key, if it is this source's.
    fn key_for(&self, base: &Base) -> Option<&str> {
        self.key.as_deref().filter(|_| *base == self.pcs)
    }
}

/// Gets pieces.
pub struct Collector {
    /// Where they are kept.
    pub cache: Cache,
    /// Who asks.
    pub fetcher: Fetcher,
    /// Who is asked.
    pub sources: Sources,
    /// Whose roots are taken.
    pub roots: Roots,
    /// Whether a piece past its end is better than none.
    pub accept_expired: bool,
    /// The time.
    pub now: Timestamp,
    /// Sources that did not answer: they are not asked again.
    pub down: Mutex<BTreeMap<String, FetchError>>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Collector {
    /// Gets `piece`.
    ///
    /// # Errors
    /// If the cache cannot be written. Everything else is an [`Outcome`].
    pub fn obtain(&self, piece: &Piece, ask: Ask) -> Result<Row, Failure> {
        let old = self.cache.get(piece);
        if let Some(entry) = &old
            && !self.is_due(entry, ask)
        {
            return Ok(Row { piece: piece.clone(), outcome: Outcome::Cached, entry: old });
        }
        if let Some(chain) = issuers(piece) {
            let above = self.obtain(&chain, Ask::IfNeeded)?;
            if let Outcome::Failed(why) = above.outcome {
                return Ok(self.without(piece, format!("{chain}: {why}")));
            }
        }
        match self.ask(piece) {
            Ok((found, url)) => self.keep(piece, &found, &url),
            Err(why) => Ok(self.without(piece, why)),
        }
    }

    /// Gets the certificate of this platform's key.
    ///
    /// # Errors
    /// As [`Self::obtain`].
    pub fn obtain_pck(&self, id: &pcs::PckId) -> Result<Result<Row, String>, Failure> {
        let base = &self.sources.pcs;
        let target = id.target(base);
        let asked = self
            .send(base, &target, types::limits::COLLATERAL_CHAIN_BYTES_MAX, None)
            .map_err(|error| explain(base, &error))
            .and_then(|answer| pcs::read_pck(&answer.headers, &answer.body));
        match asked {
            // The query names the platform; only the path is told on.
            Ok(found) => {
                let url = base.join("/sgx/certification/v4/pckcert");
                self.keep(&found.piece.clone(), &found, &url).map(Ok)
            }
            Err(why) => Ok(Err(why)),
        }
    }

    /// Tells Intel what the firmware wants it to know. Returns what it answers: the identity of the platform (PPID).
    ///
    /// # Errors
    /// In words.
    pub fn register(&self, request: &pcs::Registration) -> Result<String, String> {
        let (path, body) = match request {
            pcs::Registration::Platform(body) => ("/sgx/registration/v1/platform", body),
            pcs::Registration::Package(body) => ("/sgx/registration/v1/package", body),
        };
        let base = &self.sources.pcs;
        let answer = self
            .send(base, path, 4096, Some(("application/octet-stream", body)))
            .map_err(|error| explain(base, &error))?;
        Ok(super::fetch::harmless(&String::from_utf8_lossy(&answer.body)))
    }

    fn is_due(&self, entry: &Entry, ask: Ask) -> bool {
        let dated = entry.found.piece.is_dated();
        entry.expired(self.now)
            || void(&entry.found, &self.cache, self.roots).is_some()
            || match ask {
                Ask::IfNeeded => dated && entry.age(self.now) >= AGE_MAX_SECONDS,
                Ask::Dated => dated,
                Ask::Always => true,
            }
    }

    fn send(
        &self,
        base: &Base,
        target: &str,
        limit: usize,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer, FetchError> {
        let key = self.sources.key_for(base);
        let headers: Vec<(&str, &str)> =
            key.map(|key| (pcs::SUBSCRIPTION_HEADER, key)).into_iter().collect();
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = down.get(&base.to_string()) {
            return Err(error.clone());
        }
        let answer = self.fetcher.fetch(Request { base, target, limit, headers: &headers, body });
        if let Err(
            error @ (FetchError::Unreachable(_) | FetchError::TimedOut | FetchError::Busy(_)),
        ) = &answer
        {
            down.insert(base.to_string(), error.clone());
        }
        answer
    }

    /// Asks the source of `piece`; what it is, and from where.
    fn ask(&self, piece: &Piece) -> Result<(Recognised, String), String> {
        let at = kds::target(piece)
            .map(|target| (self.sources.kds.clone(), target))
            .or_else(|| pcs::target(piece, &self.sources.pcs));
        let (base, target) = at.ok_or("only the platform itself can ask for it")?;
        let answer = self
            .send(&base, &target, piece.limit(), None)
            .map_err(|error| explain(&base, &error))?;
        let found = if piece.is_amd() {
            super::recognise::recognise_piece(&answer.body)
        } else {
            pcs::read(piece, &answer.headers, &answer.body)
        };
        let found = found.map_err(|why| format!("{base} answers with something else: {why}"))?;
        Ok((found, base.join(&target)))
    }

    /// Puts what came into the cache, if it is good.
    fn keep(&self, piece: &Piece, found: &Recognised, url: &str) -> Result<Row, Failure> {
        if found.piece != *piece {
            let why = format!("{url} answers with another piece: {}", found.piece);
            return Ok(self.without(piece, why));
        }
        if found.until < self.now {
            let why = format!("{url} has a stale one, which ended on {}", found.until);
            return Ok(self.without(piece, why));
        }
        if let Err(why) = authenticate(found, &self.cache, self.roots) {
            return Ok(self.without(piece, format!("{url} answers with a false one: {why}")));
        }
        if let Some(why) = revoked(found, &self.cache) {
            return Ok(self.without(piece, format!("{url} has one that is void: {why}")));
        }
        let outcome = match self.cache.put(found, url, self.now)? {
            Put::New => Outcome::Fetched,
            Put::Same => Outcome::Unchanged,
            Put::Older => {
                let why = format!("{url} has an older one, of {}", found.issued);
                return Ok(self.without(piece, why));
            }
        };
        Ok(Row { piece: piece.clone(), outcome, entry: self.cache.get(piece) })
    }

    /// What there is when the source is no help.
    fn without(&self, piece: &Piece, why: String) -> Row {
        let entry = self.cache.get(piece);
        let void = entry.as_ref().and_then(|e| void(&e.found, &self.cache, self.roots));
        let outcome = match (&entry, void) {
            (None, _) => Outcome::Failed(why),
            (Some(_), Some(void)) => Outcome::Failed(format!("{why}; the cache's is void: {void}")),
            (Some(entry), None) if !entry.expired(self.now) => Outcome::Kept(why),
            (Some(entry), None) => {
                let why = format!("{why}; the cache's ended on {}", entry.found.until);
                if self.accept_expired { Outcome::Kept(why) } else { Outcome::Failed(why) }
            }
        };
        Row { piece: piece.clone(), outcome, entry }
    }
}

/// What has to be there before this piece can be authenticated.
fn issuers(piece: &Piece) -> Option<Piece> {
    match piece {
        Piece::SnpCrl { product } | Piece::SnpVcek { product, .. } => {
            Some(Piece::SnpChain { product: *product, vek: Vek::Vcek })
        }
        _ => None,
    }
}

fn explain(base: &Base, error: &FetchError) -> String {
    format!("{base}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subscription_key_goes_to_its_service_and_nowhere_else() {
        let base = |text: &str| Base::parse(text).unwrap();
        let key = Some("secret".to_owned());
        let sources = Sources { kds: base(kds::KDS), pcs: base(pcs::PCS), key };
        assert_eq!(sources.key_for(&sources.pcs), Some("secret"));
        assert_eq!(sources.key_for(&sources.kds), None);
        // Intel has its root's list on another host.
        let (host, _) = pcs::target(&Piece::IntelRootCrl, &sources.pcs).unwrap();
        assert_eq!(sources.key_for(&host), None);
        assert!(!format!("{sources:?}").contains("secret"));
    }
}
