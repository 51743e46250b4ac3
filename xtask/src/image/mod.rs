// SPDX-License-Identifier: Apache-2.0

//! `cargo xtask image`: a service as an OCI image layout (image-spec 1.1), without any daemon.
//!
//! One layer, not compressed: the program, the libraries that it is linked with, and the files that say who it runs as. The
//! same program gives the same bytes.

mod tar;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use tar::{Archive, Owner};

/// Who the program runs as. Nobody else has this number by convention.
const USER: u32 = 65532;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A service, as its image knows it.
struct Service {
    name: &'static str,
    port: u16,
    environment: &'static [&'static str],
}

const SERVICES: &[Service] = &[
    Service {
        name: "steward",
        port: 3000,
        environment: &[
            "STEWARD_ADDR=[::]:3000",
            "STEWARD_ADMIN_ADDR=127.0.0.1:9300",
            "STEWARD_ISSUANCE_LOG=/var/lib/steward/log",
            "STEWARD_LOG_FORMAT=json",
        ],
    },
    Service {
        name: "drawbridge",
        port: 8443,
        environment: &[
            "DRAWBRIDGE_ADDR=[::]:8443",
            "DRAWBRIDGE_ADMIN_ADDR=127.0.0.1:9301",
            "DRAWBRIDGE_STORE=/var/lib/drawbridge",
            "DRAWBRIDGE_LOG_FORMAT=json",
        ],
    },
];

/// Builds the services that are named, or all, and writes `target/image/<name>`.
pub(crate) fn run(arguments: &[OsString]) -> Result<(), String> {
    let known = |name: &OsString| SERVICES.iter().find(|service| *service.name == **name);
    let services: Vec<&Service> = match arguments {
        [] => SERVICES.iter().collect(),
        names => names
            .iter()
            .map(|name| known(name).ok_or(format!("no such service: {}", name.display())))
            .collect::<Result<_, _>>()?,
    };
    for service in services {
        let name = service.name;
        crate::run(
            &mut crate::cargo(&["build", "--locked", "--release", "--package", name]),
            &format!("the build of {name}"),
        )?;
        let program = crate::target().join("release").join(name);
        let directory = crate::target().join("image").join(name);
        let digest = write(service, &program, &directory)?;
        println!("{}: {digest}", directory.display());
    }
    Ok(())
}

/// Writes the layout of `program` to `directory`, in place of what is there; the manifest's digest.
fn write(service: &Service, program: &Path, directory: &Path) -> Result<String, String> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .map_err(|error| format!("cannot remove {}: {error}", directory.display()))?;
    }
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs)
        .map_err(|error| format!("cannot make {}: {error}", blobs.display()))?;
    let blob = |media_type: &str, bytes: &[u8]| -> Result<Value, String> {
        let digest = hex::encode(Sha256::digest(bytes));
        put(&blobs.join(&digest), bytes)?;
        Ok(json!({
            "mediaType": media_type,
            "digest": format!("sha256:{digest}"),
            "size": bytes.len(),
        }))
    };
    let layer = blob(LAYER, &layer(service, program)?)?;
    let config = blob(CONFIG, config(service, &layer).to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [layer],
    });
    let mut manifest = blob(MANIFEST, manifest.to_string().as_bytes())?;
    let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    put(&directory.join("index.json"), index.to_string().as_bytes())?;
    let version = json!({ "imageLayoutVersion": "1.0.0" });
    put(&directory.join("oci-layout"), version.to_string().as_bytes())?;
    Ok(digest)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    use std::io::Write as _;
    fs::File::create(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn config(service: &Service, layer: &Value) -> Value {
    let Service { name, port, environment } = service;
    let port = format!("{port}/tcp");
    json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Entrypoint": [format!("/usr/bin/{name}")],
            "Cmd": ["serve"],
            "Env": environment,
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
            "ExposedPorts": { port: {} },
            "Labels": {
                "org.opencontainers.image.title": name,
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
                "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    })
}

/// The file system: every path but the state's belongs to root, and nothing is there to be changed.
fn layer(service: &Service, program: &Path) -> Result<Vec<u8>, String> {
    let name = service.name;
    let read = |path: &Path| {
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let mut files: BTreeMap<String, (u32, Vec<u8>)> = BTreeMap::new();
    files.insert(format!("usr/bin/{name}"), (0o755, read(program)?));
    for library in libraries(program)? {
        let path = library.to_str().and_then(|path| path.strip_prefix('/'));
        let path = path.ok_or(format!("cannot take {} along", library.display()))?;
        files.insert(path.to_owned(), (0o755, read(&library)?));
    }
    for (path, text) in [
        ("etc/passwd", format!("root:x:0:0::/:/\n{name}:x:{USER}:{USER}::/var/lib/{name}:/\n")),
        ("etc/group", format!("root:x:0:\n{name}:x:{USER}:\n")),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
    ] {
        files.insert(path.to_owned(), (0o644, text.into_bytes()));
    }

    let mut archive = Archive::default();
    let state = format!("var/lib/{name}");
    let ancestors = |path: &str| {
        let parents: Vec<String> = Path::new(path)
            .ancestors()
            .skip(1)
            .filter_map(|parent| parent.to_str().filter(|parent| !parent.is_empty()))
            .map(str::to_owned)
            .collect();
        parents
    };
    let directories: BTreeSet<String> =
        files.keys().chain([&state]).flat_map(|path| ancestors(path)).collect();
    for directory in &directories {
        archive.directory(directory, 0o755, Owner(0))?;
    }
    archive.directory(&state, 0o700, Owner(USER))?;
    for (path, (mode, bytes)) in &files {
        archive.file(path, *mode, Owner(0), bytes)?;
    }
    Ok(archive.finish())
}

/// What the program is linked with, the loader included; nothing if it is static. Asks `ldd`.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, String> {
    let listed = Command::new("ldd")
        .arg(program)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| format!("cannot run ldd: {error}"))?;
    let text = String::from_utf8_lossy(&listed.stdout);
    let errors = String::from_utf8_lossy(&listed.stderr);
    if text.contains("statically linked") || errors.contains("not a dynamic executable") {
        return Ok(Vec::new());
    }
    if !listed.status.success() {
        return Err(format!("ldd {} failed: {errors}", program.display()));
    }
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        // `libc.so.6 => /lib/…/libc.so.6 (0x…)`, `/lib64/ld-linux… (0x…)`, and the kernel's own `linux-vdso.so.1 (0x…)`.
        let path = line.split_once(" => ").map_or(line, |(_, path)| path);
        if path.starts_with("not found") {
            return Err(format!("{}: {line}", program.display()));
        }
        let path = path.split_once(" (").map_or(path, |(path, _)| path);
        if path.starts_with('/') {
            found.push(PathBuf::from(path));
        }
    }
    Ok(found)
}
