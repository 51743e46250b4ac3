// SPDX-License-Identifier: Apache-2.0

//! What an operator does to a store beside the registry that serves it.
//!
//! ```text
//! kinds   every kind of record that there is: how it is read, and what it needs
//! reach   what a tag, a manifest or an announcement needs
//! scrub   reads everything and names what is not as it should be; changes nothing
//! gc      removes what nothing needs any more, beside registries that go on (the argument why that is safe: `store::garbage`)
//! lease   lets one gc run at a time
//! ```

pub mod gc;
pub(crate) mod kinds;
mod lease;
mod reach;
pub mod scrub;

use crate::store::{RepoName, UserName};

/// The repository of these names.
fn repo_name(user: &str, repo: &str) -> Option<RepoName> {
    UserName::new(user).and_then(|user| RepoName::new(user, repo))
}
