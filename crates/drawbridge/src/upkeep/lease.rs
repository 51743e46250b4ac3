// SPDX-License-Identifier: Apache-2.0

//! One gc at a time, also of several hosts over one bucket.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use types::time::Timestamp;

use crate::store::{Kind, Store, StoreError};

/// Who may do what only one may at a time, by what that is.
pub(crate) const LEASES: Kind<Lease> = Kind::new("leases", 1);
/// For how long a lease is taken, in seconds. It is renewed when a third of that is over.
const SECONDS: u64 = 900;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lease {
    /// 32 digits, by chance.
    holder: String,
    /// Until when, in seconds since 1970.
    until: u64,
}

/// A lease that is held.
pub(super) struct Held<'a> {
    store: &'a Store,
    name: &'static str,
    lease: Lease,
}

impl<'a> Held<'a> {
    /// Takes a lease.
    ///
    /// # Errors
    /// [`StoreError::Setup`] if somebody else has it.
    pub(super) fn take(
        store: &'a Store,
        name: &'static str,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut bytes = [0; 16];
        let failed = |_| StoreError::Key("the system's cryptography gives no random numbers");
        SystemRandom::new().fill(&mut bytes).map_err(failed)?;
        let holder = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let mut held = Self { store, name, lease: Lease { holder, until: 0 } };
        held.extend(now)?;
        Ok(held)
    }

    /// Makes sure that the lease is still ours, and will be for a while.
    ///
    /// # Errors
    /// [`StoreError::Setup`] if somebody else has it by now.
    pub(super) fn hold(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.lease.until > now.0.saturating_add(SECONDS * 2 / 3) {
            return Ok(());
        }
        self.extend(now)
    }

    fn extend(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let new = Lease { until: now.0.saturating_add(SECONDS), ..self.lease.clone() };
        self.store.table(&LEASES).update(&[self.name], |found| match found {
            Some(other) if other.holder != new.holder && other.until > now.0 => {
                let left = other.until - now.0;
                Err(StoreError::Setup(format!(
                    "another gc is at work on this store, or died less than {SECONDS} seconds ago; try again in {left} seconds at most"
                )))
            }
            // Whoever comes back after the lease was over must begin again.
            None if self.lease.until > 0 => Err(lost()),
            Some(other) if self.lease.until > 0 && other.holder != new.holder => Err(lost()),
            _ => Ok(Some(new.clone())),
        })?;
        self.lease = new;
        Ok(())
    }

    /// Gives it back. If that fails, it ends by itself.
    pub(super) fn end(self) {
        let ended = Lease { until: 0, ..self.lease.clone() };
        let result = self.store.table(&LEASES).update(&[self.name], |found| {
            Ok::<_, StoreError>(found.filter(|found| **found == self.lease).map(|_| ended.clone()))
        });
        if let Err(error) = result {
            tracing::debug!(%error, "the lease ends by itself");
        }
    }
}

fn lost() -> StoreError {
    StoreError::Setup(
        "this gc stood still for so long that another one began; run it again".to_owned(),
    )
}
