// SPDX-License-Identifier: Apache-2.0

//! Trust anchors: whose silicon is believed.

use std::fmt;

use crate::crypto::Verifier;
use crate::{amd, cca, intel, nitro};

/// Why there are no anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAnchors(String);

impl fmt::Display for BadAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadAnchors {}

/// The roots of every silicon that is believed, by vendor.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    /// AMD's, one for each line of processors.
    pub amd: Vec<amd::Roots>,
    /// Roots of simulated virtual TPMs of Azure's form, DER. Microsoft's own comes with the evidence, and is known by its
    /// fingerprint.
    pub azure_vtpm: Vec<Vec<u8>>,
    /// Keys of simulated platforms of Arm CCA. Those of real ones stand in policies: there is no authority above them.
    pub cca: Vec<cca::PlatformKey>,
    /// Intel's, of SGX and TDX.
    pub intel: Vec<intel::Root>,
    /// AWS's, of Nitro Enclaves.
    pub nitro: Vec<nitro::Root>,
}

impl Anchors {
    /// The vendors' own, built in and pinned by fingerprint.
    ///
    /// # Errors
    /// What is built in is not what is pinned: this program is damaged.
    #[cfg(feature = "vendor-roots")]
    pub fn vendors(verifier: &dyn Verifier) -> Result<Self, BadAnchors> {
        let amd = amd::vendor_roots(verifier).map_err(|error| BadAnchors(error.to_string()))?;
        let (intel, nitro) = (vec![intel::Root::intel()], vec![nitro::Root::aws()]);
        Ok(Self { amd, intel, nitro, ..Self::default() })
    }

    /// Roots of simulated silicon only, out of PEM certificates in any vendor's form. Certificates in nobody's are passed
    /// over.
    ///
    /// # Errors
    /// Text without roots, and a root that is a vendor's own.
    pub fn simulated(pem: &str, verifier: &dyn Verifier) -> Result<Self, BadAnchors> {
        let amd =
            amd::Roots::among_pem(pem, verifier).map_err(|error| BadAnchors(error.to_string()))?;
        let intel = intel::Root::among_pem(pem, verifier).map_err(BadAnchors)?;
        let nitro = nitro::Root::among_pem(pem, verifier).map_err(BadAnchors)?;
        let cca = cca::PlatformKey::among_pem(pem).map_err(BadAnchors)?;
        if amd.is_empty() && intel.is_empty() && nitro.is_empty() && cca.is_empty() {
            return Err(BadAnchors("there is no root of any kind of silicon in PEM".to_owned()));
        }
        if !amd.iter().all(amd::Roots::simulated)
            || !intel.iter().all(intel::Root::simulated)
            || !nitro.iter().all(nitro::Root::simulated)
        {
            return Err(BadAnchors("the vendors' own roots are built in".to_owned()));
        }
        Ok(Self { amd, cca, intel, nitro, ..Self::default() })
    }

    /// Believes the roots of `other` too.
    pub fn extend(&mut self, other: Self) {
        self.amd.extend(other.amd);
        self.azure_vtpm.extend(other.azure_vtpm);
        self.cca.extend(other.cca);
        self.intel.extend(other.intel);
        self.nitro.extend(other.nitro);
    }
}
