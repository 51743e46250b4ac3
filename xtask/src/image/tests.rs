// SPDX-License-Identifier: Apache-2.0

use super::*;

const SERVICE: Service = Service { name: "example", port: 1, environment: &["A=b"] };
/// A dynamically linked program that every Debian has.
const PROGRAM: &str = "/bin/cat";

/// A directory of this test's own.
fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("enarx-image-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).unwrap();
    path
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The blob that a descriptor names, which must be as the descriptor says.
fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let bytes = fs::read(layout.join("blobs/sha256").join(digest)).unwrap();
    assert_eq!(hex::encode(Sha256::digest(&bytes)), digest);
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}

#[test]
fn a_layout_is_of_one_piece_and_the_same_every_time() {
    let scratch = scratch("layout");
    let (one, two) = (scratch.join("one"), scratch.join("two"));
    let digest = write(&SERVICE, Path::new(PROGRAM), &one).unwrap();
    assert_eq!(write(&SERVICE, Path::new(PROGRAM), &two).unwrap(), digest);
    assert_eq!(
        fs::read(one.join("index.json")).unwrap(),
        fs::read(two.join("index.json")).unwrap()
    );
    // In place of what is there.
    assert_eq!(write(&SERVICE, Path::new(PROGRAM), &one).unwrap(), digest);

    assert_eq!(json_of(&one.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
    let index = json_of(&one.join("index.json"));
    assert_eq!(index["manifests"][0]["digest"], digest);
    let manifest: Value = serde_json::from_slice(&blob(&one, &index["manifests"][0])).unwrap();
    let config: Value = serde_json::from_slice(&blob(&one, &manifest["config"])).unwrap();
    let layer = &manifest["layers"][0];
    assert_eq!(config["rootfs"]["diff_ids"][0], layer["digest"], "the layer is not compressed");
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/example");
    blob(&one, layer);
    assert_eq!(fs::read_dir(one.join("blobs/sha256")).unwrap().count(), 3);
    fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn the_program_runs_with_nothing_but_what_is_in_the_layer() {
    let scratch = scratch("root");
    let (archive, root) = (scratch.join("layer.tar"), scratch.join("root"));
    put(&archive, &layer(&SERVICE, Path::new(PROGRAM)).unwrap()).unwrap();
    fs::create_dir(&root).unwrap();
    let listed =
        Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&archive).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let state = listed.lines().find(|line| line.ends_with(" var/lib/example/")).unwrap();
    assert!(state.starts_with("drwx------ 65532/65532"), "{listed}");
    for line in listed.lines().filter(|line| *line != state) {
        assert!(line.contains(" 0/0 ") && !line.contains("rwxrwx"), "{line}");
    }
    let unpacked = Command::new("tar")
        .args(["--no-same-owner", "-C"])
        .arg(&root)
        .arg("-xf")
        .arg(&archive)
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{unpacked:?}");
    // Its own root, for which a user name space is enough where that is allowed.
    let mut inside = Command::new("unshare");
    inside.args(["--user", "--map-root-user", "chroot"]).arg(&root);
    match inside.args(["/usr/bin/example", "/etc/passwd"]).output() {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("example:x:65532:65532:"));
        }
        // Not the loader's word, that a library is missing: that is 127.
        Ok(output) if output.status.code() != Some(127) => {
            eprintln!(
                "SKIP the_program_runs_with_nothing_but_what_is_in_the_layer: no chroot here: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        other => panic!("{other:?}"),
    }
    fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn skopeo_reads_the_layout() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        eprintln!("SKIP skopeo_reads_the_layout: skopeo is not installed");
        return;
    }
    let scratch = scratch("skopeo");
    let layout = scratch.join("layout");
    let digest = write(&SERVICE, Path::new(PROGRAM), &layout).unwrap();
    let name = format!("oci:{}:latest", layout.display());
    let inspected = Command::new("skopeo").args(["inspect", &name]).output().unwrap();
    assert!(inspected.status.success(), "{inspected:?}");
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["Digest"], digest);
    assert_eq!(inspected["Env"][0], "A=b");
    assert_eq!(inspected["Labels"]["org.opencontainers.image.title"], "example");
    // It also takes the layers apart, and compares the digests.
    let copy = format!("dir:{}", scratch.join("copy").display());
    let copied = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--preserve-digests", &name, &copy])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{copied:?}");
    fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn services_and_paths_that_do_not_fit_are_refused() {
    assert!(run(&["nothing".into()]).unwrap_err().contains("no such service"));
    let mut archive = Archive::default();
    assert!(archive.file(&"x".repeat(101), 0o644, Owner(0), b"").is_err());
    assert!(libraries(Path::new("/nonexistent")).is_err());
}
