// SPDX-License-Identifier: Apache-2.0

//! A stand-in for AMD's key distribution service (KDS): it serves what a chip of simulated silicon has, at the paths of the
//! real one (VCEK Certificate and KDS Interface Specification, document 57230).

use std::io;

use crate::mirror::{Mirror, Piece, Running};
use crate::silicon::SimulatedSnp;

/// A KDS that knows some chips. It runs until this is dropped.
#[derive(Debug)]
pub struct Kds {
    mirror: Mirror,
    running: Running,
}

impl Kds {
    /// One that knows nobody, as plain HTTP on loopback.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn spawn() -> io::Result<Self> {
        let mirror = Mirror::new();
        let running = Running::spawn(&mirror)?;
        Ok(Self { mirror, running })
    }

    /// Its address, `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.running.url()
    }

    /// What it serves, and how it misbehaves.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Serves this chip's certificate, and chain and revocation list of its product.
    pub fn know(&self, chip: &SimulatedSnp) {
        know(&self.mirror, chip);
    }
}

/// As [`Kds::know`], for a mirror that is served otherwise.
pub fn know(mirror: &Mirror, chip: &SimulatedSnp) {
    let product = &chip.shape().product;
    mirror.put(&vcek_target(chip), Piece::new("application/pkix-cert", chip.vcek()));
    let chain = |intermediate: &[u8]| {
        let pem = |der: &[u8]| {
            der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der)
                .unwrap_or_default()
        };
        Piece::new("application/x-pem-file", pem(intermediate) + &pem(chip.ark()))
    };
    mirror.put(&format!("/vcek/v1/{product}/cert_chain"), chain(chip.ask()));
    mirror.put(&format!("/vlek/v1/{product}/cert_chain"), chain(chip.asvk()));
    for kind in ["vcek", "vlek"] {
        let crl = Piece::new("application/pkix-crl", chip.crl());
        mirror.put(&format!("/{kind}/v1/{product}/crl"), crl);
    }
}

/// Path and query at which a KDS has this chip's certificate.
pub fn vcek_target(chip: &SimulatedSnp) -> String {
    let shape = chip.shape();
    let hwid: String = shape.hwid().iter().map(|byte| format!("{byte:02x}")).collect();
    let fmc = shape.fmc.map(|fmc| format!("fmcSPL={fmc:02}&")).unwrap_or_default();
    let tcb = &shape.tcb;
    format!(
        "/vcek/v1/{}/{hwid}?{fmc}blSPL={:02}&teeSPL={:02}&snpSPL={:02}&ucodeSPL={:02}",
        shape.product, tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode
    )
}
