// SPDX-License-Identifier: Apache-2.0

//! The directory of a CA whose root is elsewhere. Changing to another intermediate is one rename, so that certificate and
//! key always fit, whatever is killed when:
//!
//! ```text
//! ca.pem -> current/ca.pem         what `serve` is given; these two never change
//! ca.key -> current/ca.key
//! current -> issuers/<key id>      the intermediate in service
//! issuers/<key id>/ca.key          its key, or the URI of its key in a token; mode 0600
//! issuers/<key id>/ca.pem          its certificate, and those above it
//! issuers/<key id>/ca.csr          its request, if the root is on another machine
//! root.pem                         the last certificate of the chain: what relying parties trust
//! ```

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use chassis::durable;

const ISSUERS: &str = "issuers";
const CURRENT: &str = "current";
/// Name of a certificate with those above it.
pub const CERTIFICATE: &str = "ca.pem";
/// Name of a key.
pub const KEY: &str = "ca.key";
/// Name of a request.
pub const REQUEST: &str = "ca.csr";
/// Name of the root.
pub const ROOT: &str = "root.pem";

/// The directory of a CA whose root is elsewhere.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// The directory at `path`, which need not be there.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path of a file of the intermediate whose key has this identifier (hex).
    pub fn issuer(&self, key_id: &str, name: &str) -> PathBuf {
        self.0.join(ISSUERS).join(key_id).join(name)
    }

    /// The key identifier (hex) of the intermediate in service, if there is one.
    pub fn current(&self) -> Option<String> {
        let target = fs::read_link(self.0.join(CURRENT)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// The files of all intermediates that were ever in service, the present one included.
    pub fn certificates(&self) -> Vec<PathBuf> {
        let issuers = fs::read_dir(self.0.join(ISSUERS)).into_iter().flatten().flatten();
        issuers.map(|item| item.path().join(CERTIFICATE)).filter(|path| path.exists()).collect()
    }

    /// Whether something is there that a new CA would hide.
    pub fn is_taken(&self) -> bool {
        [CERTIFICATE, KEY, CURRENT].iter().any(|name| fs::symlink_metadata(self.path(name)).is_ok())
    }

    /// Keeps a new key, or its URI.
    ///
    /// # Errors
    /// Any failure of the file system; also if there is a key with this identifier.
    pub fn keep_key(&self, key_id: &str, key: &[u8]) -> io::Result<()> {
        let path = self.issuer(key_id, KEY);
        make(path.parent().unwrap_or(&self.0))?;
        durable::sync_parent(&self.path(ISSUERS))?;
        durable::write_new(&path, key, 0o600)?;
        durable::sync_parent(path.parent().unwrap_or(&self.0))
    }

    /// Keeps the request for a key.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn keep_request(&self, key_id: &str, pem: &str) -> io::Result<PathBuf> {
        let path = self.issuer(key_id, REQUEST);
        durable::write_new(&path, pem.as_bytes(), 0o644)?;
        Ok(path)
    }

    /// Puts the intermediate with this key into service, with this chain and root (PEM). It takes effect as a whole, or
    /// not at all.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn put_into_service(&self, key_id: &str, chain: &str, root: &str) -> io::Result<()> {
        durable::write(&self.issuer(key_id, CERTIFICATE), chain.as_bytes(), 0o644)?;
        durable::write(&self.path(ROOT), root.as_bytes(), 0o644)?;
        self.link(CURRENT, &Path::new(ISSUERS).join(key_id))?;
        for name in [CERTIFICATE, KEY] {
            self.link(name, &Path::new(CURRENT).join(name))?;
        }
        durable::sync_parent(&self.path(CURRENT))
    }

    /// Makes `name` a link to `target`, in one step.
    fn link(&self, name: &str, target: &Path) -> io::Result<()> {
        let path = self.path(name);
        if fs::read_link(&path).is_ok_and(|found| found == target) {
            return Ok(());
        }
        let temporary =
            self.path(&format!("{}{}-{name}", durable::TEMPORARY_PREFIX, std::process::id()));
        let _ = fs::remove_file(&temporary);
        symlink(target, &temporary)?;
        fs::rename(&temporary, &path).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    }
}

/// A directory of certificates, for everybody to read if it is new; keys in it are guarded by their own modes.
pub(crate) fn make(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_link_decides_which_issuer_serves() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Directory::new(&dir.path().join("ca"));
        assert!(!ca.is_taken() && ca.current().is_none());
        for (id, name) in [("aa", "first"), ("bb", "second"), ("aa", "again")] {
            let _ = ca.keep_key(id, format!("key of {id}").as_bytes());
            ca.put_into_service(id, &format!("chain {name}"), "root").unwrap();
            assert_eq!(ca.current().as_deref(), Some(id));
            let read = |name| fs::read_to_string(ca.path(name)).unwrap();
            assert_eq!(read(CERTIFICATE), format!("chain {name}"));
            assert_eq!((read(KEY), read(ROOT)), (format!("key of {id}"), "root".to_owned()));
        }
        assert!(ca.is_taken());
        assert_eq!(ca.certificates().len(), 2);
        assert!(ca.keep_key("aa", b"another").is_err(), "keys are not overwritten");
        let names = fs::read_dir(dir.path().join("ca")).unwrap().count();
        assert_eq!(names, 5, "no temporary file is left");
    }
}
