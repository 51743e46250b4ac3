// SPDX-License-Identifier: Apache-2.0

//! `enarx platform attest` against a software TPM by others (swtpm, on libtpms), and on machines that have nothing.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::collateral::{Place, run};

const OWNER: u32 = 0x4000_0001;
const HCL_REPORT: u32 = 0x0140_0001;
const AK: u32 = 0x8100_0003;

/// A software TPM behind a socket. It ends with this.
struct Swtpm {
    socket: PathBuf,
    pid: String,
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(&self.pid).status();
    }
}

impl Swtpm {
    /// `None`: the program is not installed.
    fn start(socket: &Path, state: &Path) -> Option<Self> {
        fs::create_dir_all(state).unwrap();
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let pid = state.join("pid");
        // As a daemon, it has bound the socket when this returns.
        let started = Command::new("swtpm")
            .args(["socket", "--tpm2", "--daemon", "--flags", "not-need-init,startup-clear"])
            .args(["--tpmstate", &format!("dir={}", state.display())])
            .args(["--server", &format!("type=unixio,path={}", socket.display())])
            .args(["--pid", &format!("file={}", pid.display())])
            .stdout(Stdio::null())
            .status();
        match started {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => {
                assert!(other.unwrap().success());
                let pid = fs::read_to_string(pid).unwrap().trim().to_owned();
                Some(Self { socket: socket.to_owned(), pid })
            }
        }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).unwrap()
    }
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// Sends a command, authorised by an empty password, and returns what follows the header of the answer.
fn send(tpm: &mut UnixStream, code: u32, handles: &[u32], parameters: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
    body.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
    body.extend(parameters);
    let length = u32::try_from(body.len() + 10).unwrap();
    let head = [&[0x80, 2][..], &length.to_be_bytes(), &code.to_be_bytes()].concat();
    tpm.write_all(&[head, body].concat()).unwrap();
    let mut head = [0; 10];
    tpm.read_exact(&mut head).unwrap();
    let length = u32::from_be_bytes(head[2..6].try_into().unwrap());
    let mut rest = vec![0; usize::try_from(length).unwrap() - 10];
    tpm.read_exact(&mut rest).unwrap();
    assert_eq!(head[6..], [0; 4], "{code:#x} is refused");
    rest
}

/// Makes an attestation key as Azure has one, and returns its modulus.
fn make_ak(tpm: &mut UnixStream) -> Vec<u8> {
    // fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
    let attributes: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 16 | 1 << 18;
    let mut public = vec![0, 1, 0, 11];
    public.extend(attributes.to_be_bytes());
    // No policy; RSA with 2048 bits that signs RSASSA with SHA-256, and encrypts nothing.
    public.extend([0, 0, 0, 0x10, 0, 0x14, 0, 11, 8, 0, 0, 0, 0, 0, 0, 0]);
    let parameters = [sized(&[0; 4]), sized(&public), vec![0; 6]].concat();
    let answer = send(tpm, 0x131, &[OWNER], &parameters);
    let handle = u32::from_be_bytes(answer[..4].try_into().unwrap());
    // The length of the parameters, then the public part: its length, and the modulus at its end.
    let length = usize::from(u16::from_be_bytes(answer[8..10].try_into().unwrap()));
    let modulus = answer[10..10 + length][length - 256..].to_vec();
    send(tpm, 0x120, &[OWNER, handle], &AK.to_be_bytes());
    modulus
}

fn write_index(tpm: &mut UnixStream, index: u32, bytes: &[u8]) {
    let mut public = index.to_be_bytes().to_vec();
    public.extend([0, 11, 0, 6, 0, 6, 0, 0]);
    public.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
    send(tpm, 0x12a, &[OWNER], &[sized(&[]), sized(&public)].concat());
    for (n, part) in bytes.chunks(512).enumerate() {
        let offset = u16::try_from(n * 512).unwrap().to_be_bytes();
        send(tpm, 0x137, &[OWNER, index], &[&sized(part)[..], &offset].concat());
    }
}

/// A report of Azure's paravisor that shows this user data.
fn hcl(user_data: &[u8]) -> Vec<u8> {
    let hex: String = user_data.iter().map(|byte| format!("{byte:02X}")).collect();
    let json = format!("{{\"keys\":[],\"user-data\":\"{hex}\"}}");
    let mut report = b"HCLA\x02\0\0\0".to_vec();
    report.resize(32 + 1184, 0);
    let length = u32::try_from(json.len()).unwrap();
    for word in [length + 20, 1, 2, 1, length] {
        report.extend(word.to_le_bytes());
    }
    report.extend(json.as_bytes());
    report
}

#[test]
fn a_tpm_by_others_understands_and_is_understood() {
    let place = Place::new();
    let socket = place.sysroot().join("dev/tpmrm0");
    let state = place.sysroot().with_file_name("tpm");
    let Some(swtpm) = Swtpm::start(&socket, &state) else {
        let text = "SKIP a_tpm_by_others_understands_and_is_understood: swtpm is not installed";
        let _ = writeln!(io::stderr(), "{text}");
        return;
    };
    // A TPM as any virtual machine has one: not a source of evidence.
    let ran = run(&mut place.platform(&["attest"]));
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("not a TPM of Azure's kind"), "{}", ran.stderr);
    // One as Azure's.
    let data = [0x5a; 64];
    let mut setup = swtpm.connect();
    let modulus = make_ak(&mut setup);
    write_index(&mut setup, HCL_REPORT, &[hcl(&data), vec![0; 100]].concat());
    write_index(&mut setup, 0x01c1_01d0, &[&[0x30, 0x82, 0, 2, 5, 0][..], &[0; 30]].concat());
    drop(setup);
    let out = place.sysroot().with_file_name("out");
    let hex = "5a".repeat(64);
    let command = || {
        let mut command = place.platform(&["attest", "--nonce", &hex, "--json", "--out"]);
        command.arg(&out);
        command
    };
    let ran = run(&mut command());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let json = ran.json();
    assert_eq!(
        (json["kind"].as_str(), json["source"].as_str()),
        (Some("azure-snp"), Some("azure-vtpm"))
    );
    let read = |name: &str| fs::read(out.join(name)).unwrap();
    let (message, signature, pcrs) =
        (read("tpm_quote.msg"), read("tpm_quote.sig"), read("pcrs.bin"));
    assert_eq!(
        (read("hcl_report.bin"), read("ak.der")),
        (hcl(&data), vec![0x30, 0x82, 0, 2, 5, 0])
    );
    // The quote is by the key, over the report data, over those registers.
    RsaPublicKeyComponents { n: modulus, e: vec![1, 0, 1] }
        .verify(&RSA_PKCS1_2048_8192_SHA256, &message, &signature)
        .unwrap();
    assert_eq!(message[..6], [0xff, 0x54, 0x43, 0x47, 0x80, 0x18]);
    let about = digest(&SHA256, &data);
    assert!(message.windows(32).any(|window| window == about.as_ref()));
    assert_eq!(pcrs.len(), 24 * 32);
    assert!(message.ends_with(digest(&SHA256, &pcrs).as_ref()));
    // And all of it is what an appraiser takes.
    let bundle = evidence::vtpm::Bundle::from_bytes(&read("bundle.cbor")).unwrap();
    assert_eq!((bundle.message, bundle.hcl, bundle.pcrs.len()), (message, hcl(&data), 24));
    let encoded = json["parts"]["bundle"].as_str().unwrap();
    assert_eq!(STANDARD.decode(encoded).unwrap(), read("bundle.cbor"));
    // The index for report data is there by now, and is written again.
    let ran = run(&mut command());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn a_machine_without_evidence_says_what_is_missing() {
    let place = Place::new();
    let ran = run(&mut place.platform(&["attest"]));
    assert_eq!(ran.code, 1);
    for word in ["config/tsm/report", "sev-guest", "tdx_guest", "tpmrm0", "confidential"] {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    let ran = run(&mut place.platform(&["attest", "--source", "sev-guest"]));
    assert!(ran.code == 1 && ran.stderr.contains("dev/sev-guest: No such file"), "{}", ran.stderr);
    // A file is no device.
    fs::create_dir_all(place.sysroot().join("dev")).unwrap();
    for (device, source) in [("sev-guest", "sev-guest"), ("tdx_guest", "tdx-guest")] {
        fs::File::create(place.sysroot().join("dev").join(device)).unwrap();
        let ran = run(&mut place.platform(&["attest", "--source", source]));
        assert!(ran.code == 1 && ran.stderr.contains("ioctl"), "{}", ran.stderr);
    }
    for words in [["--nonce", "00"], ["--report-data", "00"], ["--source", "none"]] {
        assert_eq!(run(place.platform(&["attest"]).args(words)).code, 2, "{words:?}");
    }
}
