// SPDX-License-Identifier: Apache-2.0

//! What anybody may fetch about the issuers, those in service before included: `/ca/<key id>.cer` and `/ca/<key id>.crl`.
//! Certificates name these addresses, so that they lead to the one that issued them, whoever is in service meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What an issuer publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// Its revocation list, DER, if it has one.
    pub list: Option<Vec<u8>>,
}

/// What is published, by key identifier in hex.
pub type Known = BTreeMap<String, Files>;

/// What is published at the moment.
#[derive(Debug, Default)]
pub struct Published(RwLock<Arc<Known>>);

impl Published {
    /// Publishes this, and nothing else.
    pub fn replace(&self, known: Known) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    /// What is published now.
    pub fn known(&self) -> Arc<Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The file with this name, and its media type (RFC 2585 section 4).
    pub fn file(&self, name: &str) -> Option<(&'static str, Vec<u8>)> {
        let known = self.known();
        let (key_id, kind) = name.split_once('.')?;
        let files = known.get(key_id)?;
        match kind {
            "cer" => Some(("application/pkix-cert", files.certificate.clone())),
            "crl" => Some(("application/pkix-crl", files.list.clone()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_names_of_keys() {
        let published = Published::default();
        assert_eq!(published.file("aa.cer"), None);
        let files = |list| Files { certificate: vec![1], list };
        published.replace(Known::from([
            ("aa".to_owned(), files(Some(vec![2]))),
            ("bb".to_owned(), files(None)),
        ]));
        assert_eq!(published.file("aa.cer"), Some(("application/pkix-cert", vec![1])));
        assert_eq!(published.file("aa.crl"), Some(("application/pkix-crl", vec![2])));
        for name in ["bb.crl", "aa", "aa.", "aa.pem", ".cer", "cc.cer", "aa.cer.cer"] {
            assert_eq!(published.file(name), None, "{name}");
        }
    }
}
