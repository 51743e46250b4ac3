// SPDX-License-Identifier: Apache-2.0

//! Collateral of Intel: the real program against a stand-in of its service.

use std::fs;

use testkit::mirror::{Misbehaviour, Piece};
use testkit::pcs::{Pcs, Signed};
use testkit::silicon::intel::{CrlSpec, Evidence, Knobs, SimulatedIntel, Tee};
use types::time::Timestamp;

use crate::collateral::{Place, Ran, now, run, write};

/// The line of platforms that the world here has.
const FMSPC: &str = "00906ed50000";
/// Serial number of the certificate that signs documents, in simulated silicon.
const SIGNER_SERIAL: u8 = 0x12;
const DAY: u64 = 86_400;

/// What Intel has, with other keys.
struct World {
    intel: SimulatedIntel,
    /// Certificates are made once: signatures are others each time.
    certificates: Evidence,
}

fn knobs(intel: &SimulatedIntel, tee: Tee) -> Knobs {
    let mut knobs = intel.knobs(tee);
    (knobs.pck.fmspc, knobs.pck.ppid) = ([0, 0x90, 0x6e, 0xd5, 0, 0], [0x77; 16]);
    knobs
}

impl World {
    fn new() -> Self {
        let intel = SimulatedIntel::generate(now()).unwrap();
        let certificates = intel.evidence(&knobs(&intel, Tee::Sgx)).unwrap();
        Self { intel, certificates }
    }

    /// Other evidence of the same platform.
    fn with(&self, tee: &str, change: impl FnOnce(&mut Knobs)) -> Evidence {
        let tee = if tee == "tdx" { Tee::Tdx } else { Tee::Sgx };
        let mut knobs = knobs(&self.intel, tee);
        change(&mut knobs);
        self.intel.evidence(&knobs).unwrap()
    }

    fn signing_chain(&self) -> String {
        self.certificates.signer_chain.clone()
    }

    /// The first of the signing chain alone.
    fn signing_certificate(&self) -> String {
        first(&self.certificates.signer_chain).0
    }

    fn pck(&self) -> String {
        first(&self.certificates.pck_chain).0
    }

    fn pck_chain(&self) -> String {
        first(&self.certificates.pck_chain).1
    }

    fn tcb(&self, tee: &str, fmspc: &str, issued: Timestamp) -> Vec<u8> {
        let made = self.with(tee, |knobs| {
            knobs.tcb_info.validity = (issued, issued.plus(30 * DAY));
            knobs.tcb_info.fmspc = fmspc.to_uppercase();
        });
        made.tcb_info.into_bytes()
    }

    fn identity(&self, tee: &str) -> Vec<u8> {
        self.with(tee, |_| ()).qe_identity.into_bytes()
    }

    /// Lists of the root and of the authority of PCK certificates.
    fn lists(&self, from: Timestamp, until: Timestamp, revoked: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let made = self.with("sgx", |knobs| {
            let list = |list: &mut CrlSpec| list.validity = (from, until);
            list(&mut knobs.root_crl);
            list(&mut knobs.pck_crl);
            knobs.root_crl.revoked = revoked.iter().map(|serial| vec![*serial]).collect();
        });
        (made.root_crl, made.pck_crl)
    }

    fn serve(&self) -> Pcs {
        let pcs = Pcs::spawn().unwrap();
        let chain = &self.signing_chain();
        let (from, until) = (now().minus(DAY), now().plus(29 * DAY));
        for tee in ["sgx", "tdx"] {
            let body = &self.tcb(tee, FMSPC, from);
            pcs.put_tcb(tee, FMSPC, Signed { body, chain });
            pcs.put_identity(tee, Signed { body: &self.identity(tee), chain });
        }
        let (root, pck) = self.lists(from, until, &[]);
        pcs.put_pck_crl("platform", Signed { body: &pck, chain: &self.pck_chain() });
        pcs.put_root_crl(&root);
        pcs
    }
}

/// The first certificate in PEM, and the others.
fn first(chain: &str) -> (String, String) {
    let end = "-----END CERTIFICATE-----\n";
    let (first, others) = chain.split_once(end).unwrap();
    (format!("{first}{end}"), others.to_owned())
}

const TCB: &str = "/tdx/certification/v4/tcb";

fn ask(place: &Place, pcs: &str, words: &[&str], flags: &[&str]) -> Ran {
    run(place.simulated(words).args(["--pcs", pcs]).args(flags))
}

fn tcb(place: &Place, pcs: &Pcs, flags: &[&str]) -> Ran {
    ask(place, &pcs.url(), &["tdx", "tcb", "--fmspc", FMSPC], flags)
}

#[test]
fn tcb_infos_come_with_identity_and_chain() {
    let (place, world) = (Place::new(), World::new());
    let pcs = world.serve();
    let ran = tcb(&place, &pcs, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert_eq!(ran.result("tdx-tcb-00906ed50000").0, "fetched");
    assert_eq!(ran.result("tdx-qe-identity").0, "fetched");
    let read = |name: &str| fs::read(place.cache().join(name)).unwrap();
    // As it came, but for the signature, which is another each time.
    let document = String::from_utf8(read("tdx-tcb-00906ed50000.json")).unwrap();
    let wanted = String::from_utf8(world.tcb("tdx", FMSPC, issued(&place))).unwrap();
    assert_eq!(document.split("signature").next(), wanted.split("signature").next());
    let chain = read("tdx-tcb-00906ed50000.chain.pem");
    assert_eq!(String::from_utf8(chain).unwrap(), world.signing_chain());
    let asked = pcs.mirror().requests().len();
    assert_eq!(tcb(&place, &pcs, &[]).result("tdx-tcb").0, "cached");
    assert_eq!(pcs.mirror().requests().len(), asked);
    let ran = ask(&place, &pcs.url(), &["sgx", "tcb", "--fmspc", FMSPC], &[]);
    assert_eq!((ran.code, ran.result("sgx-qe-identity").0.as_str()), (0, "fetched"));
    // A line that Intel does not know; words that are no line.
    let ran = ask(&place, &pcs.url(), &["tdx", "tcb", "--fmspc", "000000000000"], &[]);
    assert!(ran.code == 1 && ran.result("tdx-tcb-000000000000").1.contains("404"));
    let ran = ask(&place, &pcs.url(), &["tdx", "tcb", "--fmspc", "xyz"], &[]);
    assert!(ran.code == 2 && ran.stderr.contains("12 hex digits"), "{}", ran.stderr);
    let ran = ask(&Place::new(), &pcs.url(), &["tdx", "tcb"], &[]);
    assert!(ran.code == 2 && ran.stderr.contains("--fmspc"), "{}", ran.stderr);
}

/// When the TCB info in the cache was issued.
fn issued(place: &Place) -> Timestamp {
    let info = run(&mut place.platform(&["info", "--json"])).json();
    let pieces = info["collateral"]["pieces"].as_array().unwrap();
    let tcb = pieces.iter().find(|piece| piece["name"].as_str().unwrap().contains("tdx-tcb"));
    tcb.unwrap()["issued"].as_str().unwrap().parse().unwrap()
}

#[test]
fn what_is_not_signed_as_it_should_be_stays_outside() {
    let world = World::new();
    let pcs = world.serve();
    let chain = &world.signing_chain();
    let tcb_of = |body: &[u8], chain: &str, flags: &[&str]| {
        let place = Place::new();
        pcs.put_tcb("tdx", FMSPC, Signed { body, chain });
        let ran = tcb(&place, &pcs, flags);
        assert_eq!(ran.code, 1);
        assert!(!place.cache().join("tdx-tcb-00906ed50000.json").exists());
        ran.result("tdx-tcb").1
    };
    let good = world.tcb("tdx", FMSPC, now());
    let text = String::from_utf8(good.clone()).unwrap();
    for (body, chain, said) in [
        (text.replace("UpToDate", "OutOfDat"), chain.clone(), "not of Intel's TCB signing key"),
        (text.replace("\"signature\":\"", "\"signature\":\"00"), chain.clone(), "64 bytes in hex"),
        (text.replace("\"version\":3", "\"version\":2"), chain.clone(), "is unknown"),
        (text.replace("[{", "[").replace("}]", "]"), chain.clone(), "document of Intel"),
        (text.clone(), String::new(), "none of Intel's"),
        (text.clone(), "%zz".into(), "none of Intel's"),
        (text.clone(), world.pck_chain(), "not of \"Intel SGX TCB Signing\""),
        (text.clone(), world.signing_certificate(), "something else"),
        (text.clone(), World::new().signing_chain(), "not of Intel's TCB signing key"),
        (String::from_utf8(world.identity("tdx")).unwrap(), chain.clone(), "another piece"),
    ] {
        let why = tcb_of(body.as_bytes(), &chain, &[]);
        assert!(why.contains(said), "{said}: {why}");
    }
    let other = world.tcb("tdx", "00906ed50001", now());
    assert!(tcb_of(&other, chain, &[]).contains("another piece"));
    let old = world.tcb("tdx", FMSPC, now().minus(60 * 86_400));
    assert!(tcb_of(&old, chain, &[]).contains("stale"));
    // No chain at all.
    let target = format!("{TCB}?fmspc={FMSPC}");
    pcs.mirror().put(&target, Piece::new("application/json", good.clone()));
    let place = Place::new();
    let why = tcb(&place, &pcs, &[]).result("tdx-tcb").1;
    assert!(why.contains("TCB-Info-Issuer-Chain"), "{why}");
    // Another root than Intel's is taken only by name.
    pcs.put_tcb("tdx", FMSPC, Signed { body: &good, chain });
    let mut command = place.platform(&["tdx", "tcb", "--fmspc", FMSPC, "--json"]);
    let ran = run(command.args(["--insecure-plain-http", "--pcs", &pcs.url()]));
    assert!(ran.code == 1 && ran.result("tdx-tcb").1.contains("its root is not Intel's"));
}

#[test]
fn intels_service_may_misbehave_as_it_likes() {
    for how in [
        Misbehaviour::Slow,
        Misbehaviour::Silent,
        Misbehaviour::Huge,
        Misbehaviour::HugeUnannounced,
        Misbehaviour::Redirect("https://example.com/".into()),
        Misbehaviour::Garbage,
        Misbehaviour::Stale(b"{\"tcbInfo\":{}}".to_vec()),
        Misbehaviour::TooManyRequests(Some(3_000)),
        Misbehaviour::Status(503),
        Misbehaviour::CloseEarly,
        Misbehaviour::Hangup,
    ] {
        let (place, world) = (Place::new(), World::new());
        let pcs = world.serve();
        let flags = ["--refresh", "--timeout", "2", "--attempts", "2"];
        assert_eq!(tcb(&place, &pcs, &flags).code, 0, "{how:?}");
        let before = fs::read(place.cache().join("tdx-tcb-00906ed50000.json")).unwrap();
        pcs.mirror().misbehave(TCB, how.clone(), None);
        let ran = tcb(&place, &pcs, &flags);
        let (result, why) = ran.result("tdx-tcb");
        assert_eq!((ran.code, result.as_str()), (0, "kept"), "{how:?}: {why}");
        let after = fs::read(place.cache().join("tdx-tcb-00906ed50000.json")).unwrap();
        assert_eq!(before, after, "{how:?}");
        // With nothing kept, it is a failure.
        let ran = tcb(&Place::new(), &pcs, &flags);
        assert_eq!((ran.code, ran.result("tdx-tcb").0.as_str()), (1, "failed"), "{how:?}");
    }
}

#[test]
fn lists_of_the_root_and_of_its_authorities() {
    let (place, world) = (Place::new(), World::new());
    let pcs = world.serve();
    let crl_of = |flags: &[&str]| ask(&place, &pcs.url(), &["sgx", "crl"], flags);
    let ran = crl_of(&["--pck-ca", "platform"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert_eq!(ran.result("intel-pck-crl-platform").0, "fetched");
    assert_eq!(ran.result("intel-root-crl").0, "fetched");
    // One that is not there fails alone.
    let ran = crl_of(&[]);
    assert_eq!((ran.code, ran.result("intel-pck-crl-processor").0.as_str()), (1, "failed"));
    assert_eq!(ran.result("intel-pck-crl-platform").0, "cached");
    // A root's list of another root, now that this one is known.
    let other = World::new();
    pcs.put_root_crl(&other.lists(now(), now().plus(DAY), &[]).0);
    let ran = crl_of(&["--pck-ca", "platform", "--refresh"]);
    let (result, why) = ran.result("intel-root-crl");
    assert_eq!((ran.code, result.as_str()), (0, "kept"));
    assert!(why.contains("false one"), "{why}");
    // And of Intel's, nobody but Intel.
    let mut command = Place::new().platform(&["sgx", "crl", "--pck-ca", "platform", "--json"]);
    let ran = run(command.args(["--insecure-plain-http", "--pcs", &pcs.url()]));
    assert!(ran.result("intel-root-crl").1.contains("not signed by Intel's root"));
    assert!(ran.result("intel-pck-crl").1.contains("its root is not Intel's"));
}

#[test]
fn what_the_root_revokes_is_void() {
    let (place, world) = (Place::new(), World::new());
    let pcs = world.serve();
    assert_eq!(tcb(&place, &pcs, &[]).code, 0);
    pcs.put_root_crl(&world.lists(now(), now().plus(DAY), &[SIGNER_SERIAL]).0);
    assert_eq!(ask(&place, &pcs.url(), &["tdx", "crl", "--pck-ca", "platform"], &[]).code, 0);
    let ran = tcb(&place, &pcs, &[]);
    let (result, why) = ran.result("tdx-tcb");
    assert_eq!((ran.code, result.as_str()), (1, "failed"));
    assert!(why.contains("\"Intel SGX TCB Signing\" with serial"), "{why}");
}

#[test]
fn a_platform_gets_its_certificate_and_what_goes_with_it() {
    let (place, world) = (Place::new(), World::new());
    let pcs = world.serve();
    let field = |byte: &str, count| byte.repeat(count);
    let (ppid, cpusvn, qeid) = (field("5a", 384), field("07", 16), field("0c", 16));
    let id = place.file("pckid.csv", format!("{ppid},0000,{cpusvn},0d00,{qeid}\n").as_bytes());
    let key = place.file("key", b"subscription-key\n");
    let query = format!("encrypted_ppid={ppid}&cpusvn={cpusvn}&pcesvn=0d00&pceid=0000&qeid={qeid}");
    let (id, key) = (id.to_str().unwrap(), key.to_str().unwrap());
    let words = ["sgx", "pck", "--id", id, "--pcs-key", key];
    // Before Intel knows it.
    let message = br#"{"statusCode":404,"message":"no such platform"}"#.to_vec();
    let target = format!("/sgx/certification/v4/pckcert?{query}");
    let unknown = Piece { status: 404, ..Piece::new("application/json", message) };
    pcs.mirror().put(&target, unknown);
    let ran = ask(&place, &pcs.url(), &words, &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("404: no such platform"), "{}", ran.stderr);
    assert!(ran.stderr.contains("register"), "{}", ran.stderr);
    // And after.
    let leaf = world.pck();
    pcs.put_pck(&query, Signed { body: leaf.as_bytes(), chain: &world.pck_chain() });
    let out = place.sysroot().with_file_name("pck.pem");
    let ran = ask(&place, &pcs.url(), &words, &["--out", out.to_str().unwrap()]);
    assert_eq!((ran.code, ran.result("intel-pck-77").0.as_str()), (0, "fetched"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&out).unwrap(), leaf + &world.pck_chain());
    let asked = pcs.mirror().requests();
    assert_eq!(asked[0].header("ocp-apim-subscription-key"), Some("subscription-key"));
    // The platform's identity is not told on.
    assert!(!ran.stdout.contains(&ppid), "{}", ran.stdout);
    // Its line of platforms is known from now on.
    let ran = ask(&place, &pcs.url(), &["tdx", "tcb"], &[]);
    assert_eq!((ran.code, ran.result("tdx-tcb-00906ed50000").0.as_str()), (0, "fetched"));
    let ran = ask(&place, &pcs.url(), &["update"], &[]);
    for (name, result) in [
        ("intel-pck-77", "cached"),
        ("sgx-tcb-00906ed50000", "fetched"),
        ("tdx-tcb-00906ed50000", "unchanged"),
        ("sgx-qe-identity", "fetched"),
        ("tdx-qe-identity", "unchanged"),
        ("intel-pck-crl-platform", "fetched"),
        ("intel-root-crl", "fetched"),
        ("intel-pck-crl-processor", "failed"),
    ] {
        assert_eq!(ran.result(name).0, result, "{name}");
    }
    assert_eq!(ran.code, 1);
    // Whoever only keeps AMD's has nothing to do.
    assert_eq!(ask(&place, &pcs.url(), &["snp", "update"], &[]).code, 2);
    let other = place.file("bad.csv", b"5a,0000\n");
    let ran = ask(&place, &pcs.url(), &["sgx", "pck", "--id", other.to_str().unwrap()], &[]);
    assert!(ran.code == 2 && ran.stderr.contains("384 bytes"), "{}", ran.stderr);
}

#[test]
fn a_platform_is_made_known() {
    let (place, pcs) = (Place::new(), Pcs::spawn().unwrap());
    let register = |flags: &[&str]| ask(&place, &pcs.url(), &["sgx", "register"], flags);
    let ran = register(&[]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("there is nothing to register"), "{}", ran.stderr);
    let guid = b"\x17\x8e\x87\x4b\x49\xe4\x4a\xa5\x99\xbb\x30\x57\x17\x09\x25\xb4";
    let manifest = [&guid[..], &[9; 3_000]].concat();
    let length = u16::try_from(manifest.len()).unwrap().to_le_bytes();
    let variable = [&[7, 0, 0, 0, 2, 0][..], &length, &manifest].concat();
    let efi = place.sysroot().join("sys/firmware/efi/efivars");
    fs::create_dir_all(&efi).unwrap();
    let name = "SgxRegistrationServerRequest-304e0796-d515-4698-ac6e-e76cb1a71c28";
    write(&efi.join(name), &variable);
    // Intel refuses, in words.
    let body = br#"{"message":"InvalidPlatformManifest\u001b"}"#.to_vec();
    let refusal = Piece { status: 400, ..Piece::new("application/json", body) };
    pcs.mirror().put_post("/sgx/registration/v1/platform", refusal);
    let ran = register(&[]);
    assert_eq!((ran.code, ran.json()["ok"].as_bool()), (1, Some(false)));
    assert!(ran.stdout.contains("InvalidPlatformManifest"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'));
    // And takes it.
    pcs.take_platforms("d208dfb1002346ae1bb4ef2a3c055292");
    let ran = register(&[]);
    assert_eq!((ran.code, ran.json()["answer"].as_str().unwrap().len()), (0, 32));
    let requests = pcs.mirror().requests();
    let last = requests.last().unwrap();
    assert_eq!((last.method.as_str(), &last.body), ("POST", &manifest));
    assert_eq!(last.header("content-type"), Some("application/octet-stream"));
    // From a file; and what is none.
    let file = place.file("manifest", &variable);
    assert_eq!(register(&["--manifest", file.to_str().unwrap()]).code, 0);
    write(&file, &variable[..100]);
    let ran = register(&["--manifest", file.to_str().unwrap()]);
    assert!(ran.code == 1 && ran.stderr.contains("cannot be read"), "{}", ran.stderr);
}

#[test]
fn documents_and_chains_of_intel_are_imported_together() {
    let (place, world) = (Place::new(), World::new());
    let issued = now().minus(86_400);
    let document = place.file("a", &world.tcb("sgx", FMSPC, issued));
    let list = place.file("b", &world.lists(issued, now().plus(DAY), &[]).1);
    let wrong = place.file("c", World::new().signing_chain().as_bytes());
    let right = place.file("d", world.signing_chain().as_bytes());
    let pck_chain = place.file("e", world.pck_chain().as_bytes());
    let import = |files: &[&std::path::PathBuf]| {
        run(place.platform(&["import", "--insecure-any-root", "--json"]).args(files))
    };
    let ran = import(&[&document, &wrong]);
    assert!(ran.code == 1 && ran.stdout.contains("signing key"), "{}", ran.stdout);
    let ran = import(&[&document]);
    assert!(ran.code == 1 && ran.stdout.contains("chain of its issuer"), "{}", ran.stdout);
    assert!(!place.cache().exists());
    let ran = import(&[&wrong, &document, &list, &right, &pck_chain]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let info = run(&mut place.platform(&["info", "--json"])).json();
    assert_eq!(info["collateral"]["pieces"].as_array().unwrap().len(), 2, "{info}");
    // Once the chain is known, a newer document needs none.
    let newer = place.file("a", &world.tcb("sgx", FMSPC, now()));
    assert_eq!(import(&[&newer]).code, 0);
    let older = place.file("f", &world.tcb("sgx", FMSPC, issued));
    let ran = import(&[&older]);
    assert!(ran.code == 0 && ran.stdout.contains("a newer one is kept"), "{}", ran.stdout);
}
