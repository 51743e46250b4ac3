// SPDX-License-Identifier: Apache-2.0

//! How the Keep reaches Steward and Drawbridge: https over addresses and, if need be, roots that the host gives.
//!
//! Those roots are good for nothing else. A host that leads the Keep to a Steward or a Drawbridge of its own gets a
//! Keep with a certificate that nobody else trusts, and the workload whose digest it named.

use std::sync::Arc;

use crate::deploy::{Context, Failure, Stage};
use crate::identity::Identity;

/// An https client; with `identity` it shows the Keep's certificate.
pub(super) fn agent(
    context: &Context<'_>,
    identity: Option<&Identity>,
) -> Result<ureq::Agent, Failure> {
    let link = context.link.clone();
    let mut builder = verify::https::Agent::builder()
        .clock(context.clock.reader())
        .resolver(Arc::new(move |host: &str, port: u16| link.resolve(host, port)));
    builder = if context.reach_roots_pem.is_empty() {
        builder.web_pki()
    } else {
        builder.roots_pem(context.reach_roots_pem)
    };
    if let Some(identity) = identity {
        builder =
            builder.client_identity(identity.chain().to_vec(), identity.key().pkcs8_der().to_vec());
    }
    builder.build().map_err(|error| {
        Failure::new(
            Stage::Boot,
            format!("the roots to reach Steward and Drawbridge cannot be used: {error}"),
        )
        .hint("pass PEM certificates of authorities, or none for the public Web PKI")
    })
}
