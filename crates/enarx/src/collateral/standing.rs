// SPDX-License-Identifier: Apache-2.0

//! Whether a piece in the cache is still worth anything: not revoked by a list beside it, and still signed by those who are
//! beside it. AMD replaced an authority (Genoa's first ASK) within a day of revoking it; what the old one signed is void.

use super::authentic::{Beside as _, Roots, authenticate};
use super::cache::Cache;
use super::piece::{PckCa, Piece, Vek};
use super::recognise::Recognised;
use super::x509::{self, Cert, List};

/// Why `found` is worth nothing beside what is in `cache`; `None`: nothing speaks against it.
pub fn void(found: &Recognised, cache: &Cache, roots: Roots) -> Option<String> {
    revoked(found, cache).or_else(|| authenticate(found, cache, roots).err())
}

/// Which certificate of `found`, or above it, is revoked by a list in `cache`.
pub fn revoked(found: &Recognised, cache: &Cache) -> Option<String> {
    let chain = match &found.piece {
        Piece::SnpChain { .. } | Piece::IntelPck { .. } => Some(found.bytes.clone()),
        Piece::SnpVcek { product, .. } => {
            cache.chain_of(&Piece::SnpChain { product: *product, vek: Vek::Vcek })
        }
        _ => found.chain.clone().map(String::into_bytes),
    };
    // What is unreadable is not told to be revoked; it is told to be unreadable.
    let certificates = x509::certificates(&chain?).ok()?;
    certificates.iter().find_map(|certificate| {
        let list = list_over(certificate)?;
        let entry = cache.get(&list)?;
        let says = List::read(&entry.found.bytes).ok()?.revoked.contains(&certificate.serial);
        says.then(|| {
            format!(
                "\"{}\" with serial 0x{} is revoked",
                certificate.subject.escape_debug(),
                hex::encode(&certificate.serial)
            )
        })
    })
}

/// The list that speaks about a certificate.
fn list_over(certificate: &Cert) -> Option<Piece> {
    let issuer = certificate.issuer.as_str();
    if let Some(product) = issuer.strip_prefix("ARK-").and_then(|name| name.parse().ok()) {
        return Some(Piece::SnpCrl { product });
    }
    if issuer == super::recognise::INTEL_ROOT {
        return Some(Piece::IntelRootCrl);
    }
    let of = [PckCa::Platform, PckCa::Processor].into_iter().find(|ca| ca.common_name() == issuer);
    of.map(|ca| Piece::IntelPckCrl { ca })
}
