// SPDX-License-Identifier: Apache-2.0

use super::fake::{Fake, register};
use super::*;

#[test]
fn indexes_are_read_in_parts() {
    let contents: Vec<u8> = (0..=255).cycle().take(2_600).collect();
    let mut tpm = Tpm(Fake::default());
    tpm.0.nv.insert(5, contents.clone());
    assert_eq!(tpm.nv_read(5, 4_096).unwrap(), contents);
    assert_eq!(tpm.0.commands.iter().filter(|code| **code == CC_NV_READ).count(), 6);
    assert!(matches!(tpm.nv_read(5, 2_599), Err(TpmError::Size(5, 2_600))));
    assert!(tpm.nv_read(6, 4_096).unwrap_err().no_such_index());
}

#[test]
fn an_index_is_defined_once_and_written() {
    let mut tpm = Tpm(Fake::default());
    tpm.nv_write(9, &[3; 64]).unwrap();
    tpm.nv_write(9, &[4; 64]).unwrap();
    assert_eq!(tpm.0.nv[&9], [4; 64]);
    // OWNERWRITE, AUTHWRITE, OWNERREAD, AUTHREAD.
    assert_eq!(tpm.0.defined, BTreeMap::from([(9, 0x0006_0006)]));
    assert!(matches!(tpm.nv_write(9, &[0; 63]), Err(TpmError::Size(9, 64))));
}

#[test]
fn registers_and_quotes() {
    let mut tpm = Tpm(Fake { counter: 4, ..Fake::default() });
    let pcrs = tpm.pcrs().unwrap();
    assert_eq!((pcrs.counter, pcrs.values.len()), (4, 24));
    assert!(pcrs.values.iter().all(|(index, value)| *value == register(*index)));
    let quote = tpm.quote(0x8100_0003, b"nonce").unwrap();
    assert_eq!((quote.message.as_slice(), quote.signature.len()), (&b"quote of nonce"[..], 256));
    tpm.0.drift = 1;
    assert!(matches!(tpm.pcrs(), Err(TpmError::Changed)));
}

#[test]
fn a_busy_tpm_is_asked_again_and_a_refusal_is_not() {
    let mut tpm = Tpm(Fake { busy: (2, 0x922), ..Fake::default() });
    assert!(tpm.pcrs().is_ok());
    let mut tpm = Tpm(Fake { busy: (1, 0x101), ..Fake::default() });
    assert!(matches!(tpm.pcrs(), Err(TpmError::Refused("PCR_Read", 0x101))));
    assert_eq!(tpm.0.commands.len(), 1);
}

#[test]
fn no_answer_is_believed_that_is_not_one() {
    let all = |bend: fn(Vec<u8>) -> Vec<u8>| {
        let mut tpm = Tpm(Fake { bend: Some(bend), ..Fake::default() });
        tpm.0.nv.insert(5, vec![1; 600]);
        [
            tpm.nv_read(5, 4_096).map(drop),
            tpm.nv_size(5).map(drop),
            tpm.pcrs().map(drop),
            tpm.quote(0x8100_0003, b"").map(drop),
        ]
    };
    for bend in [
        (|_| Vec::new()) as fn(Vec<u8>) -> Vec<u8>,
        |mut answer| {
            answer.pop();
            answer
        },
        |mut answer| {
            answer.push(0);
            answer
        },
        |mut answer| {
            answer[1] ^= 3;
            answer
        },
        // All lengths behind the header.
        |mut answer| {
            answer[10..].fill(0xff);
            answer
        },
        |mut answer| {
            answer[10..].fill(0);
            answer
        },
    ] {
        for result in all(bend) {
            assert!(matches!(result, Err(TpmError::Malformed(_))), "{result:?}");
        }
    }
    // Whatever length an answer has, nothing panics.
    for length in 0..40 {
        let mut bytes = vec![0; length];
        if length >= 10 {
            bytes[..2].copy_from_slice(&[0x80, 0x01]);
            bytes[5] = u8::try_from(length).unwrap();
        }
        let _ = open(&bytes, true);
        let _ = open(&bytes, false);
        let _ = registers(&bytes, 0xff);
    }
}

proptest::proptest! {
    #[test]
    fn no_answer_panics(
        at in proptest::collection::vec((0_usize..4_096, 0_u8..), 1..8),
        cut in 0_usize..600,
    ) {
        let mut tpm = Tpm(Bent(Fake::default(), at, cut));
        tpm.0.0.nv.insert(5, vec![1; 600]);
        let _ = tpm.nv_read(5, 4_096);
        let _ = tpm.pcrs();
        let _ = tpm.quote(0x8100_0003, b"x");
    }
}

/// A TPM some bytes of whose answers are others, and some are missing.
struct Bent(Fake, Vec<(usize, u8)>, usize);

impl Transport for Bent {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        let mut answer = self.0.exchange(command)?;
        for (at, value) in &self.1 {
            let at = at % answer.len();
            // The code stays 0: an attempt that is asked for again takes time.
            if !(6..10).contains(&at) {
                answer[at] ^= value;
            }
        }
        if self.2 < answer.len() {
            answer.truncate(answer.len() - self.2);
        }
        Ok(answer)
    }
}

#[test]
fn what_is_no_tpm_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    assert!(Device::open(&scratch.path().join("none")).is_err());
    let path = scratch.path().join("file");
    File::create(&path).unwrap();
    let mut tpm = Tpm(Device::open(&path).unwrap());
    assert!(matches!(tpm.nv_size(1), Err(TpmError::Malformed(_))));
    // A socket whose other end goes away.
    let path = scratch.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut tpm = Tpm(Device::open(&path).unwrap());
    drop(listener);
    assert!(matches!(tpm.nv_size(1), Err(TpmError::Io(_))));
}
