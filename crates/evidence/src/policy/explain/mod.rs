// SPDX-License-Identifier: Apache-2.0

//! A policy in words, for whoever audits it.
//!
//! Each section takes its part of the policy apart field by field, so that no key can be without a sentence.

mod cca;
mod dcap;
mod names;
mod nitro;
mod request;
mod sgx;
mod snp;
mod tdx;
mod vtpm;

use std::fmt;

use super::{Allowance, Policy};

/// What a sentence says about the evidence that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Something is demanded: without it, more would pass.
    Demand,
    /// Something is let pass: without it, less would.
    Relaxation,
    /// Something that makes evidence neither pass nor fail.
    Note,
}

impl Effect {
    /// The name for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::Relaxation => "relaxation",
            Self::Note => "note",
        }
    }
}

/// One thing that a policy says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sentence {
    /// What it does.
    pub effect: Effect,
    /// In words.
    pub text: String,
}

/// What a policy says about one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The subject, as `AMD SEV-SNP`.
    pub title: &'static str,
    /// In the order in which it is to be read.
    pub sentences: Vec<Sentence>,
}

impl Section {
    pub(super) const fn new(title: &'static str) -> Self {
        Self { title, sentences: Vec::new() }
    }

    pub(super) fn demand(&mut self, text: impl Into<String>) {
        self.sentences.push(Sentence { effect: Effect::Demand, text: text.into() });
    }

    pub(super) fn relax(&mut self, text: impl Into<String>) {
        self.sentences.push(Sentence { effect: Effect::Relaxation, text: text.into() });
    }

    /// Something that is let pass for as long as is allowed.
    pub(super) fn allow(&mut self, allowance: Allowance, text: &str) {
        match (allowance, allowance.last_day()) {
            (Allowance::Never, _) => {}
            (_, None) => self.relax(text),
            (_, Some(day)) => {
                // In the middle of the sentence now.
                let mut rest = text.chars();
                let first: String = rest.next().into_iter().flat_map(char::to_lowercase).collect();
                self.relax(format!("Until {day}, {first}{}", rest.as_str()));
            }
        }
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.sentences.push(Sentence { effect: Effect::Note, text: text.into() });
    }

    /// A demand that a value is one of a list, if there is one.
    pub(super) fn one_of<T: AsRef<[u8]>>(&mut self, what: &str, list: &[T]) {
        if !list.is_empty() {
            self.demand(format!("{what} is {}.", any_of(list)));
        }
    }

    /// A demand that a value is none of a list, if there is one.
    pub(super) fn none_of<T: AsRef<[u8]>>(&mut self, what: &str, list: &[T]) {
        if !list.is_empty() {
            self.demand(format!("{what} is not {}.", any_of(list)));
        }
    }
}

/// `a`, `a or b`, `one of a, b, c`, in hex.
fn any_of<T: AsRef<[u8]>>(list: &[T]) -> String {
    let list: Vec<_> = list.iter().map(hex::encode).collect();
    join(&list)
}

/// `a`, `a or b`, `a, b or c`; `nothing` for an empty list.
fn join<T: fmt::Display>(list: &[T]) -> String {
    match list {
        [] => "nothing".to_owned(),
        [one] => one.to_string(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(ToString::to_string).collect();
            format!("{} or {last}", first.join(", "))
        }
    }
}

/// What a policy says, section by section.
pub fn explain(policy: &Policy) -> Vec<Section> {
    vec![
        snp::explain(&policy.snp),
        sgx::explain(&policy.sgx),
        tdx::explain(&policy.tdx),
        vtpm::explain(policy.vtpm.as_ref()),
        nitro::explain(&policy.nitro),
        cca::explain(&policy.cca),
        request::explain(&policy.request),
        names::explain(policy),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_people_say_them() {
        assert_eq!(join::<u8>(&[]), "nothing");
        assert_eq!(join(&[1]), "1");
        assert_eq!(join(&[1, 2]), "1 or 2");
        assert_eq!(join(&[1, 2, 3]), "1, 2 or 3");
    }

    #[test]
    fn an_empty_policy_relaxes_nothing() {
        let policy = Policy::parse("").unwrap();
        let sections = explain(&policy);
        let relaxed = sections.iter().flat_map(|section| &section.sentences);
        assert_eq!(relaxed.filter(|s| s.effect == Effect::Relaxation).count(), 0);
        assert!(sections.iter().all(|section| !section.sentences.is_empty()));
    }

    #[test]
    fn every_key_changes_what_is_said() {
        let (digest, other, short) = ("ab".repeat(48), "cd".repeat(48), "ab".repeat(32));
        let said = |text: &str| explain(&Policy::parse(text).unwrap());
        let strict = said("");
        for text in [
            "[request]\nallow = [\"nonce-missing\"]".into(),
            format!("[snp]\nhash = [\"{digest}\"]"),
            format!("[snp]\nhash_blacklist = [\"{other}\"]"),
            format!("[snp]\nsigner = [\"{digest}\"]"),
            format!("[snp]\nsigner_blacklist = [\"{digest}\"]"),
            "[snp]\nproducts_blacklist = [\"Milan\"]".into(),
            format!("[snp]\nchip_id_blacklist = [\"{}\"]", "ab".repeat(64)),
            "[snp]\nminimum_firmware = \"1.55.21\"".into(),
            "[snp]\nmitigations = [3]".into(),
            "[snp]\nallow = [\"provisional-firmware\"]".into(),
            format!("[snp]\nid_key_digest = [\"{digest}\"]"),
            format!("[snp]\nid_key_digest_blacklist = [\"{digest}\"]"),
            "[snp]\nminimum_guest_svn = 3".into(),
            format!("[snp]\nfamily_id = [\"{}\"]", "ab".repeat(16)),
            format!("[snp]\nimage_id = [\"{}\"]", "ab".repeat(16)),
            format!("[snp]\nhost_data = [\"{}\"]", "ab".repeat(32)),
            "[snp]\nabi = \">=1.51\"".into(),
            "[snp]\npolicy_flags = [\"SMT\"]".into(),
            "[snp]\nplatform_info_flags = \"TSME\"".into(),
            "[snp]\nrequire = [\"tsme\"]".into(),
            "[snp]\nproducts = [\"Genoa\"]".into(),
            format!("[snp]\nchip_id = [\"{}\"]", "ab".repeat(64)),
            "[snp.minimum_tcb.Milan]\nsnp = 23".into(),
            "[snp]\nallow = [\"debug\"]".into(),
            "[snp]\nvlek = [\"CN=x\"]".into(),
            "[snp]\nmax_vmpl = 1".into(),
            "[vtpm]".into(),
            format!("[vtpm]\npcrs = {{ 11 = [\"{}\"] }}", "ab".repeat(32)),
            "[vtpm]\nrequire_ak_certificate = true".into(),
            "[vtpm]\nrequire = [\"no-console\"]".into(),
            format!("[nitro]\nhash = [\"{digest}\"]"),
            format!("[nitro]\nhash_blacklist = [\"{digest}\"]"),
            format!("[nitro]\nsigner = [\"{digest}\"]"),
            format!("[nitro]\npcrs.3 = [\"{digest}\"]"),
            "[nitro]\nallow = [\"debug\"]".into(),
            format!("[cca]\nhash = [\"{digest}\"]"),
            format!("[cca]\nhash_blacklist = [\"{digest}\"]"),
            format!("[cca]\nrems.3 = [\"{digest}\"]"),
            format!("[cca]\npersonalization = [\"{}\"]", "ab".repeat(64)),
            "[cca]\nlifecycles = [\"recoverable-debug\"]".into(),
            "[cca.component.RMM]".into(),
            "[cca.component.RMM]\nminimum_version = \"1.2\"".into(),
            format!("[cca.component.RMM]\nmeasurement = [\"{digest}\"]"),
            format!("[cca.component.RMM]\nsigner = [\"{digest}\"]"),
            format!("[sgx]\nhash = [\"{short}\"]"),
            format!("[sgx]\nhash_blacklist = [\"{short}\"]"),
            format!("[sgx]\nsigner = [\"{short}\"]"),
            format!("[sgx]\nsigner_blacklist = [\"{short}\"]"),
            "[sgx]\nfeatures = []".into(),
            "[sgx]\nfeatures = [\"AEXNotify\", \"CET\", \"KSS\", \"Debug\"]".into(),
            "[sgx]\nmisc_select = []".into(),
            "[sgx]\nenclave_product_id = 0".into(),
            "[sgx]\nenclave_security_version = 1".into(),
            format!("[sgx]\nconfig_id = [\"{}\"]", "ab".repeat(64)),
            "[sgx]\nconfig_svn = [1]".into(),
            format!("[sgx]\next_product_id = [\"{}\"]", "ab".repeat(16)),
            format!("[sgx]\nfamily_id = [\"{}\"]", "ab".repeat(16)),
            "[sgx]\nallowed_advisories = [\"a\"]".into(),
            "[sgx]\nminimum_evaluation_number = 1".into(),
            "[sgx]\nfmspc = [\"00606a000000\"]".into(),
            "[sgx]\nfmspc_blacklist = [\"00606a000000\"]".into(),
            format!("[sgx]\nppid = [\"{}\"]", "ab".repeat(16)),
            format!("[sgx]\nppid_blacklist = [\"{}\"]", "ab".repeat(16)),
            "[sgx]\nrequire = [\"no-smt\"]".into(),
            "[[sgx.accept]]\nstatus = \"OutOfDate\"\nuntil = 2026-12-31".into(),
            format!("[tdx]\nhash = [\"{digest}\"]"),
            format!("[tdx]\nhash_blacklist = [\"{digest}\"]"),
            format!("[tdx]\nrtmr0 = [\"{digest}\"]"),
            format!("[tdx]\nrtmr3 = [\"{digest}\"]"),
            format!("[tdx]\nmrseam = [\"{digest}\"]"),
            "[tdx]\nfeatures = []".into(),
            "[tdx]\nxfam = [\"0300000000000000\"]".into(),
            format!("[tdx]\nconfig_id = [\"{digest}\"]"),
            format!("[tdx]\nowner = [\"{digest}\"]"),
            format!("[tdx]\nowner_config = [\"{digest}\"]"),
            format!("[tdx]\nservice_td = [\"{digest}\"]"),
            "[tdx]\nallow = [\"debug\"]".into(),
            "[[tdx.accept]]\nstatus = \"OutOfDate\"\nuntil = 2026-12-31".into(),
            "[certificate]\nlifetime_hours = 1".into(),
            "[validity]\nfrom = 2026-01-01".into(),
            "[validity]\nuntil = 2026-01-01".into(),
            "[certificate]\ninclude_evidence = true".into(),
            "[[grant]]\nworkload = \"h/u/r:^1\"\ndns = [\"a.example\"]".into(),
        ] {
            assert_ne!(said(&text), strict, "{text}");
        }
        assert_ne!(said("[vtpm]"), said("[vtpm]\nrequire = [\"no-console\"]"));
    }
}
