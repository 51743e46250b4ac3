// SPDX-License-Identifier: Apache-2.0

//! What is kept for this protocol besides blobs.

use drawbridge_core::oci::Descriptor;
use serde::{Deserialize, Serialize};
use types::digest::Sha256;

use crate::store::Kind;

/// A manifest, whose bytes are a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestRecord {
    pub(crate) media_type: String,
    pub(crate) length: u64,
}

/// What a tag stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagRecord {
    pub(crate) manifest: Sha256,
    /// The root of the tree, if the tag is a version.
    pub(crate) package: Option<Sha256>,
    /// Whether it stays so. Before that, of a version, it is what somebody is about to publish.
    pub(crate) settled: bool,
    /// Whether it was deleted since, and may be given another meaning. Versions never are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleted: bool,
}

/// That content is not to be had by its digest any more; its bytes are left to `gc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hidden {
    /// Since when, in seconds since 1970.
    pub(crate) deleted_at: u64,
}

/// Deleted content by user, repository and SHA-256.
pub(crate) const HIDDEN: Kind<Hidden> = Kind::new("oci-deleted", 3);

/// Manifests by user, repository and digest.
pub(crate) const MANIFESTS: Kind<ManifestRecord> = Kind::new("oci-manifests", 3);
/// Tags by user, repository and tag.
pub(crate) const TAGS: Kind<TagRecord> = Kind::new("oci-tags", 3);
/// Manifests with a subject, by user, repository, the subject's digest and their own.
pub(crate) const REFERRERS: Kind<Descriptor> = Kind::new("oci-referrers", 4);
