// SPDX-License-Identifier: Apache-2.0

//! A real Drawbridge, and a home for the files of a user of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testkit::pki::DevCa;
use types::time::Timestamp;

use crate::{bare_enarx, require};

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(since.as_secs())
}

pub(crate) fn put(path: &Path, bytes: &[u8]) {
    std::io::Write::write_all(&mut fs::File::create(path).unwrap(), bytes).unwrap();
}

/// A Drawbridge that trusts an issuer, and a home.
pub(crate) struct Home {
    scratch: tempfile::TempDir,
    pub(crate) host: String,
    drawbridge: Child,
}

impl Drop for Home {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.drawbridge.kill();
        let _ = self.drawbridge.wait();
    }
}

impl Home {
    pub(crate) fn new(issuer: &str) -> Self {
        Self::with(issuer, &[])
    }

    /// The same, whose Drawbridge gets further words.
    pub(crate) fn with(issuer: &str, more: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let ca = DevCa::generate("test", now()).unwrap();
        let (chain, key) = ca.issue_localhost(now()).unwrap();
        let file = |name: &str, text: &str| {
            let path = scratch.path().join(name);
            put(&path, text.as_bytes());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let (chain, key) = (file("tls.pem", &chain), file("tls.key", &key));
        file("root.pem", &ca.certificate_pem());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("localhost:{port}");
        let mut command = Command::new(require("drawbridge"));
        let address = format!("127.0.0.1:{port}");
        command.args(["serve", "--addr", &address, "--host", &host, "--oidc-issuer", issuer]);
        command
            .args(["--oidc-audience", &enarx::login::audience(&host), "--store"])
            .arg(scratch.path().join("store"));
        command.arg("--tls-cert").arg(chain).arg("--tls-key").arg(key).args(more);
        let mut drawbridge = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(drawbridge.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("listening"), "{line}");
        Self { scratch, host, drawbridge }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Where the tokens for this registry are.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.path("data/enarx/tokens").join(format!("{}.json", self.host))
    }

    /// `enarx` with these words, to be run; `HOST` in them stands for the registry.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = bare_enarx();
        command.current_dir(self.scratch.path());
        for variable in ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY"] {
            command.env_remove(variable);
        }
        command
            .env("XDG_DATA_HOME", self.path("data"))
            .env("ENARX_CA_BUNDLE", self.path("root.pem"));
        command.args(words.split(' ').map(|word| word.replace("HOST", &self.host)));
        command
    }

    /// Runs it: exit code, standard output, standard error.
    pub(crate) fn enarx(&self, words: &str) -> (i32, String, String) {
        let output = self.command(words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&self.host, "HOST");
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}
