// SPDX-License-Identifier: Apache-2.0

//! Certificates, revocation lists and names, as AMD writes them (RFC 5280).

use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, BitStringRef, IntRef};
use der::{Decode as _, Reader as _, Result, SliceReader, Tag, TagMode, TagNumber};
use types::time::Timestamp;
use x509_cert::ext::Extension;
use x509_cert::time::Time;

use super::{contents, element, follows, sequence, wrong};

/// What a certificate and a revocation list have in common: signed bytes, algorithm, signature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    /// What was signed.
    pub(crate) tbs: &'a [u8],
    /// AlgorithmIdentifier, the outer one.
    pub(crate) algorithm: &'a [u8],
    /// The signature.
    pub(crate) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self> {
        sequence(der, |reader| {
            let tbs = element(reader, Tag::Sequence)?;
            let algorithm = element(reader, Tag::Sequence)?;
            let signature = BitStringRef::decode(reader)?;
            match signature.as_bytes() {
                Some(signature) => Ok(Self { tbs, algorithm, signature }),
                None => Err(wrong(reader)),
            }
        })
    }
}

/// An X.509 certificate, version 3.
#[derive(Clone, Debug)]
pub(crate) struct Certificate<'a> {
    pub(crate) signed: Signed<'a>,
    /// Contents of the INTEGER.
    pub(crate) serial: &'a [u8],
    /// AlgorithmIdentifier, the inner one.
    pub(crate) algorithm: &'a [u8],
    /// DER of the name.
    pub(crate) issuer: &'a [u8],
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// DER of the name.
    pub(crate) subject: &'a [u8],
    /// DER of the SubjectPublicKeyInfo.
    pub(crate) spki: &'a [u8],
    pub(crate) extensions: Vec<Extension>,
}

fn time(reader: &mut SliceReader<'_>) -> Result<Timestamp> {
    Ok(Timestamp(Time::decode(reader)?.to_unix_duration().as_secs()))
}

impl<'a> Certificate<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self> {
        let signed = Signed::parse(der)?;
        sequence(signed.tbs, |reader| {
            let version = reader.context_specific::<u8>(TagNumber(0), TagMode::Explicit)?;
            if version != Some(2) {
                return Err(wrong(reader));
            }
            let serial = IntRef::decode(reader)?.as_bytes();
            let algorithm = element(reader, Tag::Sequence)?;
            let issuer = element(reader, Tag::Sequence)?;
            let (not_before, not_after) =
                reader.sequence(|r| Ok::<_, der::Error>((time(r)?, time(r)?)))?;
            let subject = element(reader, Tag::Sequence)?;
            let spki = element(reader, Tag::Sequence)?;
            let extensions = reader
                .context_specific::<Vec<Extension>>(TagNumber(3), TagMode::Explicit)?
                .unwrap_or_default();
            Ok(Self {
                signed,
                serial,
                algorithm,
                issuer,
                not_before,
                not_after,
                subject,
                spki,
                extensions,
            })
        })
    }

    /// The one extension of this type; `Err` if there are several.
    pub(crate) fn extension(
        &self,
        oid: ObjectIdentifier,
    ) -> std::result::Result<Option<&Extension>, ()> {
        let mut found = self.extensions.iter().filter(|e| e.extn_id == oid);
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            _ => Err(()),
        }
    }
}

/// A certificate revocation list, version 2.
#[derive(Clone, Debug)]
pub(crate) struct Crl<'a> {
    pub(crate) signed: Signed<'a>,
    /// AlgorithmIdentifier, the inner one.
    pub(crate) algorithm: &'a [u8],
    /// DER of the name.
    pub(crate) issuer: &'a [u8],
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Option<Timestamp>,
    /// Contents of the INTEGERs.
    pub(crate) revoked: Vec<&'a [u8]>,
    /// Whether an extension of the list or of an entry is critical. None that we take is.
    pub(crate) critical: bool,
}

impl<'a> Crl<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self> {
        let signed = Signed::parse(der)?;
        sequence(signed.tbs, |reader| {
            if u8::decode(reader)? != 1 {
                return Err(wrong(reader));
            }
            let algorithm = element(reader, Tag::Sequence)?;
            let issuer = element(reader, Tag::Sequence)?;
            let this_update = time(reader)?;
            let timed = follows(reader, Tag::UtcTime) || follows(reader, Tag::GeneralizedTime);
            let next_update = if timed { Some(time(reader)?) } else { None };
            let mut critical = false;
            let mut revoked = Vec::new();
            if follows(reader, Tag::Sequence) {
                reader.sequence(|list| {
                    while !list.is_finished() {
                        list.sequence(|entry| {
                            revoked.push(IntRef::decode(entry)?.as_bytes());
                            time(entry)?;
                            if !entry.is_finished() {
                                let extensions = Vec::<Extension>::decode(entry)?;
                                critical |= extensions.iter().any(|e| e.critical);
                            }
                            Ok::<_, der::Error>(())
                        })?;
                    }
                    Ok::<_, der::Error>(())
                })?;
            }
            let extensions = reader
                .context_specific::<Vec<Extension>>(TagNumber(0), TagMode::Explicit)?
                .unwrap_or_default();
            critical |= extensions.iter().any(|e| e.critical);
            Ok(Self { signed, algorithm, issuer, this_update, next_update, revoked, critical })
        })
    }
}

/// The attributes of a name, in order: type and text.
///
/// Only names whose parts have one attribute each, in UTF-8 or printable text, are taken.
pub(crate) fn name(der: &[u8]) -> Result<Vec<(ObjectIdentifier, &str)>> {
    let mut attributes = Vec::new();
    sequence(der, |reader| {
        while !reader.is_finished() {
            let part = element(reader, Tag::Set)?;
            let attribute = sequence(contents(part)?, |r| {
                let oid = ObjectIdentifier::decode(r)?;
                let value = AnyRef::decode(r)?;
                let text = match value.header().tag() {
                    Tag::Utf8String | Tag::PrintableString => {
                        std::str::from_utf8(value.value()).ok()
                    }
                    _ => None,
                };
                text.map(|text| (oid, text)).ok_or_else(|| wrong(r))
            })?;
            attributes.push(attribute);
        }
        Ok(())
    })?;
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::{OID, SEQUENCE, SET, UTF8_STRING, tlv};

    #[test]
    fn names_are_read_part_by_part() {
        let cn = [&tlv(OID, &[0x55, 4, 3])[..], &tlv(UTF8_STRING, b"x")].concat();
        let der = tlv(SEQUENCE, &tlv(SET, &tlv(SEQUENCE, &cn)));
        assert_eq!(name(&der), Ok(vec![(ObjectIdentifier::new_unwrap("2.5.4.3"), "x")]));
        let double = [tlv(SEQUENCE, &cn), tlv(SEQUENCE, &cn)].concat();
        assert!(name(&tlv(SEQUENCE, &tlv(SET, &double))).is_err());
        assert!(name(&[0x30, 0x80, 0, 0]).is_err());
        assert!(name(&[]).is_err());
    }
}
