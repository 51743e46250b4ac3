// SPDX-License-Identifier: Apache-2.0

//! What a Drawbridge keeps and says, without any I/O: trees, digests, tag statements, records.
//!
//! ```text
//! tag entry ──names──▶ root (a directory, or one module) ──names──▶ files and directories
//!     ▲                                                             each by all its digests
//!     └── statement: the registry's signature over host/user/repo:tag and the root's digest
//! ```
//!
//! One piece of content has one serialisation: what does not read back to the same bytes is refused (docs/FORMATS.md 2).
//!
//! ```
//! use drawbridge_core::Tree;
//! let tree = Tree::from_files(vec![("main.wasm".into(), b"\0asm\x01\0\0\0".to_vec())]).unwrap();
//! assert!(tree.digest().to_string().starts_with("sha256:"));
//! ```

#![forbid(unsafe_code)]

mod digest;
mod directory;
mod entry;
pub mod jose;
pub mod jwk;
pub mod keys;
pub mod media;
pub mod oci;
mod records;
pub mod rights;
pub mod signature;
pub mod statement;
mod tree;
mod yank;

pub use digest::{ContentDigest, DigestError, Hasher};
pub use directory::{Directory, NameError, parse_path, valid_name};
pub use entry::{Entry, FormatError, TagRecord};
pub use records::{DeployInfo, RepoRecord, RepoSummary, UserRecord, newest};
pub use tree::{MAIN_MODULE, Node, Tree, TreeError, directories, package_digest};
pub use yank::{YANKED_HEADER, Yank, YankDocument};

/// The version of the API that this build speaks.
pub const API_VERSION: semver::Version = semver::Version::new(0, 1, 0);
