// SPDX-License-Identifier: Apache-2.0

//! OCI manifests and what they mean for packages (docs/FORMATS.md 2.11; OCI image specification 1.1).
//!
//! ```text
//! tree ──of_tree──▶ manifest and configuration        a package for clients of OCI
//! manifest ──shape──▶ files, a bare module, or neither     what was pushed by them, for Keeps
//! ```

mod manifest;
mod package;

pub use manifest::{Descriptor, Manifest, ManifestError};
pub use package::{Packed, Shape, of_tree, shape};

/// An image manifest.
pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// An index of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An image manifest as Docker writes it.
pub const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// An index as Docker writes it.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The configuration of a Wasm artifact (CNCF TAG Runtime, "Wasm OCI Artifact layout").
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// A configuration that says nothing.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// What a manifest of a package without a module is.
pub const PACKAGE: &str = "application/vnd.enarx.package.v1";
/// The annotation of a layer that is its path.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The annotation of a manifest with the package's digest (docs/FORMATS.md 1.2).
pub const DIGEST: &str = "dev.enarx.package.digest";
/// The annotation of a layer that is a packed directory, by `oras`.
const UNPACK: &str = "io.deis.oras.content.unpack";
