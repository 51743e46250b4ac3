// SPDX-License-Identifier: Apache-2.0

//! What a policy let pass once, and no more.

use types::time::Timestamp;

use super::{NONCE_MISSING, Policy};

/// A relaxation whose last day is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Where it stands, as `snp.allow`.
    pub key: &'static str,
    /// Its name, or the status that was accepted.
    pub name: String,
    /// Its last day (UTC), as `2026-12-31`.
    pub last_day: String,
}

impl Policy {
    /// The relaxations that are void at this time, in the order of the file's format.
    pub fn ended(&self, now: Timestamp) -> Vec<Ended> {
        let snp = self.snp.allow.iter().map(|(name, until)| ("snp.allow", name.name(), *until));
        let single = [
            ("tdx.allow", "debug", self.tdx.allow_debug),
            ("nitro.allow", "debug", self.nitro.allow_debug),
            ("request.allow", NONCE_MISSING, self.request.allow_without_nonce),
        ];
        let allowed = snp.chain(single).filter_map(|(key, name, allowance)| {
            Some(Ended { key, name: name.to_owned(), last_day: allowance.ended(now)? })
        });
        let accepted = [("sgx.accept", &self.sgx.dcap), ("tdx.accept", &self.tdx.dcap)];
        let accepted = accepted.into_iter().flat_map(|(key, dcap)| {
            let over = dcap.accept.iter().filter(move |accept| now >= accept.until);
            over.map(move |accept| Ended {
                key,
                name: accept.status.name().to_owned(),
                last_day: accept.last_day(),
            })
        });
        allowed.chain(accepted).collect()
    }
}
