// SPDX-License-Identifier: Apache-2.0

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;

const BOTH: [Form; 2] = [Form::Cbor, Form::Json];
/// Headers of quotes of SGX and of TDX.
const SGX: [u8; 8] = [3, 0, 2, 0, 0, 0, 0, 0];
const TDX: [u8; 8] = [5, 0, 2, 0, 0x81, 0, 0, 0];

fn evidence(kind: Kind) -> Evidence {
    let statement = match kind {
        Kind::Sgx => SGX.to_vec(),
        Kind::Tdx => TDX.to_vec(),
        _ => vec![1, 2, 3],
    };
    Evidence { kind, statement, claims: Some(vec![0xa0]), endorsements: vec![0x30, 0] }
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn why(form: Form, bytes: impl AsRef<[u8]>) -> &'static str {
    decode(form, bytes.as_ref()).unwrap_err().0
}

#[test]
fn collections_round_trip() {
    for kind in Kind::ALL {
        let whole = evidence(kind);
        let bare = Evidence { claims: None, endorsements: Vec::new(), ..evidence(kind) };
        for evidence in [whole, bare] {
            for form in BOTH {
                let bytes = encode(form, &evidence);
                assert_eq!(decode(form, &bytes).as_ref(), Ok(&evidence));
                let media_type = if form == Form::Cbor { CBOR } else { JSON };
                assert_eq!(decode_body(media_type, &bytes).unwrap().as_ref(), Ok(&evidence));
            }
        }
    }
}

#[test]
fn records_round_trip() {
    for kind in [Kind::Snp, Kind::Sgx, Kind::Tdx] {
        for form in BOTH {
            let record = encode_record(form, &evidence(kind)).unwrap();
            assert_eq!(decode(form, &record), Ok(evidence(kind)));
        }
    }
    // What that form cannot tell apart is not written in it.
    for kind in [Kind::Nitro, Kind::Cca, Kind::AzureSnp, Kind::AzureTdx] {
        assert_eq!(encode_record(Form::Cbor, &evidence(kind)), None);
    }
    let without = Evidence { claims: None, ..evidence(Kind::Snp) };
    assert_eq!(encode_record(Form::Cbor, &without), None);
}

#[test]
fn the_bytes_are_as_documented() {
    let json = encode(Form::Json, &evidence(Kind::Snp));
    assert_eq!(
        String::from_utf8(json).unwrap(),
        concat!(
            r#"{"__cmwc_t":"tag:enarx.dev,2026:evidence","#,
            r#""claims":["application/vnd.enarx.claims+cbor","oA",4],"#,
            r#""endorsements":["application/vnd.enarx.snp-endorsements","MAA",2],"#,
            r#""evidence":["application/vnd.enarx.snp","AQID",4]}"#,
        )
    );
    let nitro = Evidence { claims: None, endorsements: Vec::new(), ..evidence(Kind::Nitro) };
    let cbor = encode(Form::Cbor, &nitro);
    let expected = [
        &[0xa2, 0x68][..],
        b"__cmwc_t",
        &[0x78, 27],
        COLLECTION.as_bytes(),
        &[0x68],
        b"evidence",
        &[0x83, 0x78, 27],
        b"application/vnd.enarx.nitro",
        &[0x43, 1, 2, 3, 4],
    ];
    assert_eq!(hex::encode(cbor), hex::encode(expected.concat()));
}

#[test]
fn bodies_of_every_media_type() {
    for kind in Kind::ALL {
        let bare = Evidence { claims: None, endorsements: Vec::new(), ..evidence(kind) };
        let read = decode_body(statement_type(kind), &bare.statement).unwrap();
        assert_eq!(read, Ok(bare));
    }
    let whole = evidence(Kind::Snp);
    let container = container::encode_evidence(Kind::Snp, &whole.statement, &[0xa0], &[0x30, 0]);
    assert_eq!(decode_body(EVIDENCE, &container), Some(Ok(whole)));
    assert!(decode_body(EVIDENCE, b"").unwrap().is_err());
    for other in ["application/json", "", CLAIMS, endorsements_type(Kind::Snp)] {
        assert_eq!(decode_body(other, b""), None);
    }
    assert!(decode_body(statement_type(Kind::Sgx), &TDX).unwrap().is_err());
}

#[test]
fn json_that_says_something_else() {
    let good = String::from_utf8(encode(Form::Json, &evidence(Kind::Snp))).unwrap();
    for (from, to, says) in [
        ("tag:enarx.dev,2026:evidence", "tag:example.com,2026:x", "another type"),
        ("\"oA\",4", "\"oA\",2", "contradicts"),
        ("\"MAA\",2", "\"MAA\",6", "contradicts"),
        ("\"AQID\",4", "\"AQID\",8", "contradicts"),
        ("\"AQID\"", "\"AQID====\"", "base64url"),
        ("\"AQID\"", "\"A+ID\"", "base64url"),
        ("\"oA\"", "\"oB\"", "base64url"),
        ("claims+cbor", "claims+json", "media type of its claims"),
        ("enarx.snp\"", "enarx.abacus\"", "none of a TEE"),
        ("enarx.snp\"", "enarx.claims+cbor\"", "none of a TEE"),
        ("enarx.snp\"", "enarx.nitro\"", "another kind"),
        ("enarx.snp\"", "enarx.tdx\"", "another TEE"),
        ("\"__cmwc_t\"", "\"__cmwc_T\"", "collection"),
        (",\"evidence\"", ",\"other\":[\"a\",\"\"],\"evidence\"", "collection"),
        (",\"evidence\"", ",\"claims\":[\"a\",\"\"],\"evidence\"", "collection"),
        (",\"evidence\":[", ",\"evidence\":[[],", "collection"),
        ("\"AQID\",4]", "\"AQID\",4,4]", "collection"),
        ("\"AQID\",4]", "\"AQID\",-4]", "collection"),
        ("\"AQID\",4]}", "\"AQID\",4]}}", "collection"),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from}");
        let found = why(Form::Json, &changed);
        assert!(found.contains(says), "{to}: {found}");
    }
    // White space, order and the indicator, which may be missing, say nothing.
    let spaced = good.replace("\",", "\" ,\n").replace(" ,\n4]", "]").replace(":[", ": [ ");
    assert_eq!(decode(Form::Json, spaced.as_bytes()), Ok(evidence(Kind::Snp)), "{spaced}");

    // Depth, size, other things.
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(why(Form::Json, deep).contains("record"));
    let nested = good.replacen("[\"application/vnd.enarx.snp\"", &format!("{good},["), 1);
    assert!(why(Form::Json, nested).contains("collection"));
    assert!(why(Form::Json, " ".repeat(limits::REQUEST_BYTES_MAX + 1)).contains("64 KiB"));
    for other in ["", " ", "null", "\"\"", "1"] {
        assert!(why(Form::Json, other).contains("neither"));
    }
    let claims = vec![0; limits::CLAIMS_BYTES_MAX + 1];
    let large = Evidence { claims: Some(claims), ..evidence(Kind::Snp) };
    assert!(why(Form::Json, encode(Form::Json, &large)).contains("larger than any"));
}

#[test]
fn records_that_say_something_else() {
    let record = |media_type: &str, value: &[u8], rest: &str| {
        format!("[\"{media_type}\",\"{}\"{rest}]", b64(value))
    };
    let nitro = statement_type(Kind::Nitro);
    assert!(decode(Form::Json, record(nitro, b"x", "").as_bytes()).is_ok());
    assert!(decode(Form::Json, record(nitro, b"x", ",4").as_bytes()).is_ok());
    assert!(why(Form::Json, record(nitro, b"x", ",8")).contains("contradicts"));
    assert!(why(Form::Json, record(CLAIMS, b"x", ",4")).contains("none of evidence"));
    assert!(why(Form::Json, record(JSON, b"x", "")).contains("none of evidence"));
    assert!(why(Form::Json, record(EVIDENCE, b"x", "")).contains("3.3"));
    assert!(why(Form::Json, record(statement_type(Kind::Tdx), &SGX, "")).contains("another TEE"));
}

#[test]
fn cbor_that_is_written_in_another_way() {
    let good = encode(Form::Cbor, &evidence(Kind::Snp));
    assert_eq!(good[0], 0xa4);
    // Another order; the long form of a count; an indefinite map; tags; bytes after it; cut off.
    let claims = good.windows(8).position(|w| w == b"__cmwc_t").unwrap() - 1;
    let end = claims + 9 + 2 + COLLECTION.len();
    let swapped = [&good[..1], &good[claims..end], &good[1..claims], &good[end..]].concat();
    assert!(why(Form::Cbor, swapped).contains("deterministic"));
    assert!(why(Form::Cbor, [&[0xb8, 4], &good[1..]].concat()).contains("deterministic"));
    assert!(decode(Form::Cbor, &[&[0xbf], &good[1..], &[0xff]].concat()).is_err());
    assert!(decode(Form::Cbor, &[&[0xda, 0x63, 0x74, 1, 1][..], &good].concat()).is_err());
    assert!(why(Form::Cbor, [&good[..], &[0]].concat()).contains("deterministic"));
    for end in 0..good.len() {
        assert!(decode(Form::Cbor, &good[..end]).is_err());
    }
    // A member too many, one twice, another type.
    assert!(decode(Form::Cbor, &[&[0xa5], &good[1..], b"\x61x\x01"].concat()).is_err());
    let twice = [&[0xa5], &good[1..claims], &good[1..]].concat();
    assert!(decode(Form::Cbor, &twice).is_err());
    let at = good.windows(4).position(|w| w == b"2026").unwrap();
    let mut other = good.clone();
    other[at] = b'3';
    assert!(decode(Form::Cbor, &other).is_err());
    assert!(decode(Form::Cbor, &[0x81; 10_000]).is_err());
}

proptest! {
    #[test]
    fn nothing_panics_and_cbor_has_one_form(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        noise in prop::collection::vec(any::<u8>(), 0..64),
        json in "[\\[{][\\[\\]{}\",:a-z0-9]{0,40}",
    ) {
        let _ = decode(Form::Json, json.as_bytes());
        for form in BOTH {
            let mut bytes = encode(form, &evidence(Kind::Nitro));
            for (at, xor) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= xor;
            }
            for bytes in [&bytes, &noise] {
                if let Ok(evidence) = decode(form, bytes) {
                    let again = encode(form, &evidence);
                    prop_assert_eq!(decode(form, &again), Ok(evidence));
                }
            }
        }
    }
}
