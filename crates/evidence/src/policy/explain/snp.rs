// SPDX-License-Identifier: Apache-2.0

//! `[snp]` in words.

use super::{Section, join};
use crate::amd::Product;
use crate::policy::{Relaxation, Requirement, SnpPolicy};

/// Names of the guest policy's bits that can be restricted.
const FLAGS: [(u64, &str); 3] =
    [(1 << 16, "multithreading (SMT)"), (1 << 19, "debugging"), (1 << 20, "one socket only")];

/// What is demanded of SEV-SNP evidence, and what is let pass.
pub(super) fn explain(policy: &SnpPolicy) -> Section {
    let SnpPolicy {
        hash,
        hash_blacklist,
        signer,
        signer_blacklist,
        id_key_digest,
        id_key_digest_blacklist,
        minimum_guest_svn,
        family_id,
        image_id,
        host_data,
        abi,
        policy_flags,
        platform_info_flags,
        require,
        products,
        products_blacklist,
        chip_id,
        chip_id_blacklist,
        minimum_tcb,
        minimum_firmware,
        mitigations,
        allow,
        vlek,
        max_vmpl,
    } = policy;
    let mut section = Section::new("AMD SEV-SNP");
    section.demand("The report is signed by a key that leads to a root that is believed, at the firmware versions that it reports, and nothing in the chain is revoked.");
    if hash.is_empty() && signer.is_empty() && id_key_digest.is_empty() {
        section.note(
            "No Keep is pinned: certificates state facts about the TEE, and name no workload.",
        );
    }
    section.one_of("The launch measurement", hash);
    section.none_of("The launch measurement", hash_blacklist);
    section.one_of("The author key", signer);
    section.none_of("The author key", signer_blacklist);
    section.one_of("The ID key", id_key_digest);
    section.none_of("The ID key", id_key_digest_blacklist);
    if *minimum_guest_svn > 0 {
        section.demand(format!("The guest's security version is at least {minimum_guest_svn}."));
    }
    let zero_unless = |section: &mut Section, what: &str, list: Option<Vec<String>>| match list {
        None => section.demand(format!("{what} is zero.")),
        Some(list) => section.demand(format!("{what} is {}.", join(&list))),
    };
    let hexes = |list: &Option<Vec<[u8; 16]>>| {
        list.as_ref().map(|list| list.iter().map(hex::encode).collect())
    };
    zero_unless(&mut section, "The guest's family", hexes(family_id));
    zero_unless(&mut section, "The guest's image", hexes(image_id));
    let data = host_data.as_ref().map(|list| list.iter().map(hex::encode).collect());
    zero_unless(&mut section, "The data that the host gave", data);
    if let Some(abi) = abi {
        section.demand(format!("The firmware interface that the guest asks for meets {abi}."));
    }
    if let Some(mask) = policy_flags {
        let denied: Vec<_> =
            FLAGS.iter().filter(|(bit, _)| mask & bit == 0).map(|(_, name)| *name).collect();
        section.demand(format!("The guest policy does not have {}.", join(&denied)));
    }
    if let Some(flags) = platform_info_flags {
        section.demand(format!("The platform's bits for SMT and TSME are {flags:02b}."));
    }
    for requirement in require {
        section.demand(match requirement {
            Requirement::NoSmt => "The guest runs without multithreading.",
            Requirement::SingleSocket => "The guest stays on one socket.",
            Requirement::NoCxl => "The guest uses no CXL memory or devices.",
            Requirement::Aes256Xts => "Memory is encrypted with AES-256-XTS.",
            Requirement::RaplDisabled => "The power meter (RAPL) is off.",
            Requirement::CiphertextHiding => "The host cannot read ciphertext in memory.",
            Requirement::PageSwapDisabled => "The host cannot swap the guest's pages.",
            Requirement::Tsme => "The platform encrypts all of its memory (TSME).",
            Requirement::Ecc => "The platform's memory corrects errors (ECC).",
            Requirement::NoTio => "The platform lets no devices into guests' trust (SEV-TIO).",
            Requirement::IdBlock => "A key signed what the guest is (ID block).",
            Requirement::AuthorKey => "An author key signed the guest's ID key.",
        });
    }
    section.demand(format!("The processor is a {}.", join(products)));
    if !products_blacklist.is_empty() {
        section.demand(format!("The processor is not a {}.", join(products_blacklist)));
    }
    let milan = Product::Milan;
    if products.contains(&milan) && !products_blacklist.contains(&milan) && chip_id.is_empty() {
        section.note("The seed of a Milan's keys can be extracted by software (arXiv 2605.12990): whoever did it to one forges any report of it, at any firmware version. Only a list of chips, or not taking Milan, helps.");
    }
    section.one_of("The chip", chip_id);
    section.none_of("The chip, which must not hide its identity,", chip_id_blacklist);
    for (product, floor) in minimum_tcb {
        section.demand(format!("On {product}, firmware is at least at {floor}."));
    }
    if let Some(version) = minimum_firmware {
        section.demand(format!("The committed firmware is at least {version}."));
    }
    if *mitigations != 0 {
        let bits: Vec<_> = (0..64).filter(|bit| mitigations >> bit & 1 == 1).collect();
        let bits: Vec<_> = bits.iter().map(ToString::to_string).collect();
        section.demand(format!(
            "These mitigations were in force at launch and are now: {}.",
            bits.join(", ")
        ));
    }
    for (relaxation, allowance) in allow {
        let text = match relaxation {
            Relaxation::AliasCheck => {
                "Memory may be aliased: the platform has not checked, or cannot say so."
            }
            Relaxation::ChipIdMasked => "The chip may hide its identity.",
            Relaxation::CrlExpired => "The revocation list may be past its time.",
            Relaxation::CrlMissing => "There may be no revocation list.",
            Relaxation::Debug => "The host may debug the guest, which then protects nothing.",
            Relaxation::MigrationAgent => "The guest may be moved by a migration agent.",
            Relaxation::ProvisionalFirmware => {
                "The firmware may be newer than what is committed, so that the host can set it back."
            }
            Relaxation::Vlek | Relaxation::Vmpl => "(see below)",
        };
        section.allow(*allowance, text);
    }
    for provider in vlek {
        section.relax(format!(
            "The report may be signed by a key of the cloud provider {}.",
            provider.escape_debug()
        ));
    }
    if *max_vmpl > 0 {
        section
            .relax(format!("The report may be asked for at privilege levels down to {max_vmpl}."));
    }
    section
}
