// SPDX-License-Identifier: Apache-2.0

//! Stand-ins for what development and tests lack: silicon, the services of its vendors, an OpenID issuer, certificates.
//!
//! Nothing here is for production, and whatever it signs says so by name.

#![forbid(unsafe_code)]

pub mod kds;
pub mod mirror;
pub mod moto;
pub mod oidc;
pub mod oidc_provider;
pub mod pcs;
pub mod pki;
pub mod random;
pub mod silicon;
#[cfg(feature = "steered")]
pub mod steered;
