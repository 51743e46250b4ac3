// SPDX-License-Identifier: Apache-2.0

//! Bearer tokens of this user, one file per registry, readable by this user only.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use types::limits;
use types::slug::valid_host;
use types::time::Timestamp;

use crate::failure::{Context as _, Failure};
use crate::files;

/// A token as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredToken {
    /// The registry it is for: `host[:port]`.
    pub host: String,
    /// Who issued it.
    pub issuer: String,
    /// The token itself.
    pub access_token: String,
    /// When it ends, if the issuer said so.
    pub expires: Option<Timestamp>,
    /// What gets the next one, if the issuer gave that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
}

/// What gets new tokens without asking the user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The refresh token.
    pub token: String,
    /// The program at the issuer for which it is.
    pub client_id: String,
    /// For whom the tokens are that it gets.
    pub audience: String,
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// How long before its end a token is renewed, in seconds.
const AHEAD_SECONDS: u64 = 60;

impl StoredToken {
    /// Whether it has ended.
    pub fn ended(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Whether it has ended or is about to.
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        self.ended(now.plus(AHEAD_SECONDS))
    }
}

impl fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredToken")
            .field("host", &self.host)
            .field("issuer", &self.issuer)
            .field("access_token", &"***")
            .field("expires", &self.expires)
            .field("refresh", &self.refresh)
            .finish()
    }
}

/// What a token says about its bearer. Not verified: that is the registry's task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TokenClaims {
    /// The user at the issuer.
    #[serde(default)]
    pub sub: Option<String>,
    /// What the bearer may do, separated by spaces.
    #[serde(default)]
    pub scope: Option<String>,
    /// When it ends, seconds since 1970.
    #[serde(default)]
    pub exp: Option<u64>,
}

/// What `token` says about its bearer.
///
/// # Errors
/// If the token is no JWT: then only its issuer knows.
pub fn claims(token: &str) -> Result<TokenClaims, Failure> {
    let opaque = || {
        Failure::new("cannot tell whom the token is for")
            .why("it is not a JWT")
            .next("have the issuer give out JWT access tokens")
    };
    let payload = token.split('.').nth(1).ok_or_else(opaque)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| opaque())?;
    serde_json::from_slice(&payload).map_err(|_| opaque())
}

/// A token is not changed by others while this is there.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "it is open, that is all")] File);

/// The tokens of this user.
#[derive(Clone, Debug)]
pub struct TokenStore {
    directory: PathBuf,
}

impl TokenStore {
    /// The store of this user, `$XDG_DATA_HOME/enarx/tokens`.
    ///
    /// # Errors
    /// If the environment does not say where that is.
    pub fn of_user() -> Result<Self, Failure> {
        Ok(Self::at(&files::data_directory()?.join("tokens")))
    }

    /// The store in this directory, which is made when it is needed.
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf() }
    }

    fn path(&self, host: &str) -> Result<PathBuf, Failure> {
        check_host(host)?;
        Ok(self.directory.join(format!("{host}.json")))
    }

    /// Holds all other programs of this user that would change the token for `host`, until what is returned is dropped.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn lock(&self, host: &str) -> Result<Lock, Failure> {
        check_host(host)?;
        files::make_private_directory(&self.directory)?;
        let path = self.directory.join(format!(".{host}.lock"));
        let what = || format!("cannot lock {}", path.display());
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.context(what())?;
        file.lock().context(what())?;
        Ok(Lock(file))
    }

    /// Keeps `token`, in place of what was there for its registry. Who changes one holds [`TokenStore::lock`].
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put(&self, token: &StoredToken) -> Result<(), Failure> {
        let path = self.path(&token.host)?;
        files::make_private_directory(&self.directory)?;
        let text = serde_json::to_vec_pretty(token).context("cannot write the token")?;
        files::write_private(&path, &text)
    }

    /// The token for `host`, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn get(&self, host: &str) -> Result<Option<StoredToken>, Failure> {
        let path = self.path(host)?;
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                let path = path.display();
                return Err(Failure::new(format!("the token in {path} is not used"))
                    .why("others than you may read or write it")
                    .next(format!("remove it and log in again with `enarx user login {host}`; if nobody had it, `chmod 600 {path}` is enough")));
            }
            // What else is wrong is said when it is read.
            _ => {}
        }
        let bytes = files::read_bounded(&path, 3 * limits::TOKEN_BYTES_MAX)?;
        // What is wrong is not said in its own words: they may be secrets.
        serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            Failure::new(format!("cannot read the token in {}", path.display()))
                .why("it is not as this program writes it")
                .next(format!("log in again with `enarx user login {host}`"))
        })
    }

    /// Forgets the token for `host`; whether there was one.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, host: &str) -> Result<bool, Failure> {
        let path = self.path(host)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).context(format!("cannot remove {}", path.display())),
        }
    }

    /// The token for `host` that is still good at `now`, or can be renewed.
    ///
    /// # Errors
    /// If there is none, with the command that gets one.
    pub fn valid(&self, host: &str, now: Timestamp) -> Result<StoredToken, Failure> {
        let login = format!("log in with `enarx user login {host}`");
        let token = self
            .get(host)?
            .ok_or_else(|| Failure::new(format!("not logged in to {host}")).next(login.clone()))?;
        match token.expires {
            // What can be renewed will be, by the next command that needs it.
            Some(end) if end <= now && token.refresh.is_none() => {
                Err(Failure::new(format!("not logged in to {host}"))
                    .why(format!("the token ended at {end}"))
                    .next(login))
            }
            _ => Ok(token),
        }
    }
}

/// Checks that `host` names a registry.
///
/// # Errors
/// If it does not.
pub fn check_host(host: &str) -> Result<(), Failure> {
    if valid_host(host) && host.len() <= limits::HOST_NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Failure::new(format!("{:?} names no registry", host))
        .why("wanted a host in lower case, with a port if it is not 443")
        .next("for example store.example.com or localhost:8443")
        .code(crate::failure::EXIT_USAGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    fn token(expires: Option<u64>) -> StoredToken {
        StoredToken {
            host: "store.example.com:8443".into(),
            issuer: "https://id.example.com".into(),
            access_token: "a.b.c".into(),
            expires: expires.map(Timestamp),
            refresh: None,
        }
    }

    #[test]
    fn keeps_gives_and_forgets() {
        let scratch = tempfile::tempdir().unwrap();
        let store = TokenStore::at(&scratch.path().join("tokens"));
        let host = "store.example.com:8443";
        assert_eq!(store.get(host).unwrap(), None);
        assert!(!store.remove(host).unwrap());
        store.put(&token(Some(100))).unwrap();
        assert_eq!(store.get(host).unwrap(), Some(token(Some(100))));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&scratch.path().join("tokens")), 0o700);
        assert_eq!(mode(&scratch.path().join("tokens/store.example.com:8443.json")), 0o600);
        assert_eq!(store.valid(host, Timestamp(99)).unwrap(), token(Some(100)));
        assert!(store.valid(host, Timestamp(100)).unwrap_err().why.unwrap().contains("ended"));
        assert!(store.remove(host).unwrap());
        assert!(
            store.valid(host, Timestamp(0)).unwrap_err().next.unwrap().contains("enarx user login")
        );
    }

    #[test]
    fn refresh_tokens_are_kept_beside() {
        let scratch = tempfile::tempdir().unwrap();
        let store = TokenStore::at(scratch.path());
        let host = "store.example.com:8443";
        let refresh = Refresh {
            token: "secret".into(),
            client_id: "me".into(),
            audience: "https://s/".into(),
        };
        let token = StoredToken { refresh: Some(refresh), ..token(Some(100)) };
        assert!(!format!("{token:?}").contains("secret"));
        store.put(&token).unwrap();
        assert_eq!(store.valid(host, Timestamp(200)).unwrap(), token);
        assert!(!token.ends_soon(Timestamp(39)) && token.ends_soon(Timestamp(40)));
        // One of before refresh tokens is read still.
        let old = r#"{"host":"h","issuer":"i","access_token":"a","expires":null}"#;
        assert_eq!(serde_json::from_str::<StoredToken>(old).unwrap().refresh, None);
    }

    #[test]
    fn what_others_may_read_is_not_used() {
        let scratch = tempfile::tempdir().unwrap();
        let store = TokenStore::at(scratch.path());
        store.put(&token(None)).unwrap();
        let path = scratch.path().join("store.example.com:8443.json");
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let failure = store.get("store.example.com:8443").unwrap_err();
            assert!(failure.next.unwrap().contains("chmod 600"), "{mode:o}");
        }
    }

    #[test]
    fn one_at_a_time_changes_a_token() {
        let scratch = tempfile::tempdir().unwrap();
        let store = TokenStore::at(&scratch.path().join("tokens"));
        let held = store.lock("a.example.com").unwrap();
        let path = scratch.path().join("tokens/.a.example.com.lock");
        let other = File::open(&path).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        assert!(other.try_lock().is_ok());
        // Other registries' tokens are others.
        store.lock("b.example.com").unwrap();
    }

    #[test]
    fn hosts_cannot_leave_the_store() {
        let store = TokenStore::at(Path::new("/nonexistent"));
        for host in ["../x", "a/b", "", ".", "A.com"] {
            assert!(store.get(host).is_err(), "{host}");
        }
    }

    #[test]
    fn never_shows_the_token() {
        assert!(!format!("{:?}", token(None)).contains("a.b.c"));
    }

    #[test]
    fn reads_claims_of_a_jwt_only() {
        let payload = URL_SAFE_NO_PAD.encode(br#"{"sub":"alice","scope":"x y","exp":5,"other":1}"#);
        let read = claims(&format!("e30.{payload}.sig")).unwrap();
        assert_eq!(read.sub.as_deref(), Some("alice"));
        assert_eq!(read.exp, Some(5));
        assert!(claims("opaque").is_err());
        assert!(claims("a.!.c").is_err());
    }
}
