// SPDX-License-Identifier: Apache-2.0

//! Whether a piece is from its vendor: signatures up to the vendor's root key, which is built in.
//!
//! Nobody has to trust this: who relies on collateral checks it again. It is here so that a broken or hostile mirror cannot put
//! anything in the place of what is good.

use evidence::amd::ARK_FINGERPRINTS;
use types::digest::Sha256;

use super::piece::{Piece, Vek};
use super::recognise::{INTEL_ROOT, Recognised, TCB_SIGNING, signed};
use super::x509::{self, Cert};

/// SubjectPublicKeyInfo of Intel's root.
const INTEL_ROOT_KEY: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200040ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f567918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394";

/// Which roots are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The vendors' own.
    Vendors,
    /// Any: for simulated silicon.
    Any,
}

/// What else is at hand for the check.
pub trait Beside {
    /// The chain (PEM) that is this piece or stands beside it, if it is there; of the root's list, any chain below that root.
    fn chain_of(&self, piece: &Piece) -> Option<Vec<u8>>;
}

/// Checks the signatures of `found`.
///
/// # Errors
/// In words.
pub fn authenticate(found: &Recognised, beside: &dyn Beside, roots: Roots) -> Result<(), String> {
    match &found.piece {
        Piece::SnpChain { product, vek } => {
            let (issuer, ark) = pair(&found.bytes)?;
            let wanted = match vek {
                Vek::Vcek => format!("SEV-{product}"),
                Vek::Vlek => format!("SEV-VLEK-{product}"),
            };
            let root = format!("ARK-{product}");
            let named = issuer.subject == wanted && ark.subject == root && ark.issuer == root;
            if !named || !ark.signed(&ark.der) || !ark.signed(&issuer.der) {
                return Err("its certificates do not sign each other as AMD's do".to_owned());
            }
            let own = Sha256::of(&ark.der).to_hex();
            let is_amds = ARK_FINGERPRINTS.iter().any(|(of, hex)| of == product && *hex == own);
            rooted(is_amds, "AMD", roots)
        }
        Piece::SnpCrl { product } => {
            let chain = [Vek::Vcek, Vek::Vlek]
                .into_iter()
                .find_map(|vek| beside.chain_of(&Piece::SnpChain { product: *product, vek }))
                .ok_or_else(|| format!("the ARK of {product}, which signs it, is not here"))?;
            let (_, ark) = pair(&chain)?;
            by(&ark, &found.bytes)
        }
        Piece::SnpVcek { product, .. } => {
            let chain = Piece::SnpChain { product: *product, vek: Vek::Vcek };
            let chain = beside
                .chain_of(&chain)
                .ok_or_else(|| format!("the ASK of {product}, which signs it, is not here"))?;
            let (ask, _) = pair(&chain)?;
            by(&ask, &found.bytes)
        }
        Piece::IntelRootCrl => by_intels_root(&found.bytes, beside, roots),
        Piece::IntelPckCrl { ca } => {
            let issuer = intel_chain(found, ca.common_name(), roots)?;
            by(&issuer, &found.bytes)
        }
        Piece::IntelTcb { .. } | Piece::IntelQe { .. } => {
            let signer = intel_chain(found, TCB_SIGNING, roots)?;
            let (message, signature) = signed(&found.bytes)?;
            let good = signer.signed_fixed(message, &signature);
            good.then_some(())
                .ok_or_else(|| "its signature is not of Intel's TCB signing key".to_owned())
        }
        Piece::IntelPck { .. } => {
            let chain = x509::certificates(&found.bytes)?;
            let [pck, ca, root] = chain.as_slice() else {
                return Err("its chain has not three certificates".to_owned());
            };
            intel_root(root, roots)?;
            if !ca.subject.starts_with("Intel SGX PCK P") || !root.signed(&ca.der) {
                return Err("its issuer is not signed by the root".to_owned());
            }
            by(ca, &pck.der)
        }
    }
}

fn by(issuer: &Cert, der: &[u8]) -> Result<(), String> {
    issuer.signed(der).then_some(()).ok_or_else(|| {
        format!("it is not signed by \"{}\", as it says", issuer.subject.escape_debug())
    })
}

fn rooted(vendors: bool, vendor: &str, roots: Roots) -> Result<(), String> {
    match (vendors, roots) {
        (true, _) | (false, Roots::Any) => Ok(()),
        (false, Roots::Vendors) => Err(format!("its root is not {vendor}'s")),
    }
}

/// The two certificates of a chain.
fn pair(pem: &[u8]) -> Result<(Cert, Cert), String> {
    let chain: [Cert; 2] = x509::certificates(pem)?
        .try_into()
        .map_err(|_| "its chain has not two certificates".to_owned())?;
    let [first, second] = chain;
    Ok((first, second))
}

fn intel_root(root: &Cert, roots: Roots) -> Result<(), String> {
    let named = root.subject == INTEL_ROOT && root.issuer == INTEL_ROOT;
    if !named || !root.signed(&root.der) {
        return Err("its root has not signed itself".to_owned());
    }
    rooted(hex::encode(&root.spki) == INTEL_ROOT_KEY, "Intel", roots)
}

/// The first certificate of the chain beside `found`, verified.
fn intel_chain(found: &Recognised, name: &str, roots: Roots) -> Result<Cert, String> {
    let chain = found.chain.as_deref().ok_or("the chain of its issuer is not here")?;
    let (issuer, root) = pair(chain.as_bytes())?;
    intel_root(&root, roots)?;
    if issuer.subject != name || !root.signed(&issuer.der) {
        return Err(format!("its chain is not of \"{name}\""));
    }
    Ok(issuer)
}

/// Whether Intel's root signed this list. It comes without a chain.
fn by_intels_root(list: &[u8], beside: &dyn Beside, roots: Roots) -> Result<(), String> {
    let built_in = hex::decode(INTEL_ROOT_KEY).ok();
    let point = built_in.as_deref().and_then(|spki| spki.get(26..)).unwrap_or_default();
    if x509::signed_by_point(point, list) {
        return Ok(());
    }
    if roots == Roots::Any {
        // The root of simulated silicon is in the chain of every other piece.
        let Some(chain) = beside.chain_of(&Piece::IntelRootCrl) else { return Ok(()) };
        if let Some(root) = x509::certificates(&chain)?.last() {
            return by(root, list);
        }
    }
    Err("it is not signed by Intel's root".to_owned())
}
