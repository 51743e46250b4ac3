// SPDX-License-Identifier: Apache-2.0

//! Revocation lists of a development CA (RFC 5280 section 5).

use aws_lc_rs::rand::SystemRandom;
use const_oid::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use types::time::Timestamp;
use x509_cert::Certificate;

use super::{AUTHORITY_KEY_ID, DevCa, ECDSA_SHA256, PkiError, enc, key_id, to_pem};

const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");

impl DevCa {
    /// A list of certificates (DER) that this CA issued and takes back, good from `from` to `to`; the list, DER.
    ///
    /// # Errors
    /// [`PkiError`], also if one is no certificate.
    pub fn revoke(
        &self,
        certificates: &[&[u8]],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<u8>, PkiError> {
        let mut revoked = Vec::new();
        for der in certificates {
            let certificate = Certificate::from_der(der).map_err(|_| PkiError::Malformed)?;
            let serial = certificate.tbs_certificate().serial_number().to_der();
            let serial = serial.map_err(|_| PkiError::Malformed)?;
            revoked.extend(enc::seq(&[&serial, &enc::time(from)]));
        }
        // Section 5.1.2.6: without any there is no list of them.
        let revoked = if revoked.is_empty() { revoked } else { enc::seq(&[&revoked]) };
        let authority = enc::seq(&[&enc::tlv(0x80, &key_id(self.public_key()))]);
        let number = enc::positive(&[1]);
        let extension = |id, value: &[u8]| enc::seq(&[&enc::oid(id), &enc::octets(value)]);
        let extensions =
            enc::seq(&[&extension(AUTHORITY_KEY_ID, &authority), &extension(CRL_NUMBER, &number)]);
        let algorithm = enc::seq(&[&enc::oid(ECDSA_SHA256)]);
        let tbs = enc::seq(&[
            // Version 2.
            &enc::positive(&[1]),
            &algorithm,
            &self.subject,
            &enc::time(from),
            &enc::time(to),
            &revoked,
            &enc::tlv(0xa0, &extensions),
        ]);
        let random = SystemRandom::new();
        let signature = self.key.sign(&random, &tbs).map_err(|_| PkiError::Crypto)?;
        Ok(enc::seq(&[&tbs, &algorithm, &enc::bits(signature.as_ref())]))
    }

    /// The same as PEM.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    pub fn revoke_pem(
        &self,
        certificates: &[&[u8]],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<String, PkiError> {
        Ok(to_pem("X509 CRL", &self.revoke(certificates, from, to)?))
    }
}
