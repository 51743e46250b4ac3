// SPDX-License-Identifier: Apache-2.0

//! `steward ca`: roots, and intermediates under a root that stays elsewhere.

mod crl;
mod init;
mod intermediate;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use chassis::clock::Clock;
use chassis::secret::Secret;
use clap::{Args, Subcommand};
use types::time::Timestamp;

use super::{failed, usage};
use crate::authority::create::INTERMEDIATE_DAYS;
use crate::authority::{self, Authority, KeySource, Signer};

/// How long before now a new certificate begins unless told otherwise, in seconds: clocks differ.
const SKEW_SECONDS: u64 = 3_600;
/// Largest file of CA certificates, in bytes.
pub(super) const CA_FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Ca {
    /// Make a new root: DIR/ca.pem and DIR/ca.key
    Init {
        /// Directory, made if it is not there; nothing in it is overwritten
        #[arg(env = "STEWARD_CA_DIR")]
        dir: PathBuf,
        /// Common name of the root, 1 to 64 characters
        #[arg(long, env = "STEWARD_CA_NAME", value_name = "CN")]
        name: String,
        /// Use this key, a file or the URI of one in a token, rather than a new one
        #[arg(long, env = "STEWARD_CA_NEW_KEY", value_name = "KEY", value_parser = KeyParser)]
        key: Option<KeySource>,
        /// First second of its validity, RFC 3339 in UTC; an hour ago if not given
        #[arg(long, env = "STEWARD_CA_NOT_BEFORE", value_name = "TIME")]
        not_before: Option<Timestamp>,
        /// Print what was made as JSON
        #[arg(long, env = "STEWARD_JSON")]
        json: bool,
    },
    /// Make an intermediate and put it into service in DIR; the root can go offline again
    Intermediate {
        /// Directory, made if it is not there; nothing in it is overwritten
        #[arg(env = "STEWARD_CA_DIR")]
        dir: PathBuf,
        /// Common name, 1 to 55 characters; the beginning of its key identifier is put behind it
        #[arg(long, env = "STEWARD_CA_NAME", value_name = "CN")]
        name: String,
        #[command(flatten)]
        from: From,
    },
    /// Replace the intermediate in service; certificates of the one before it stay valid
    Rotate {
        /// Directory that `steward ca intermediate` made
        #[arg(env = "STEWARD_CA_DIR")]
        dir: PathBuf,
        /// Common name; that of the one before it if not given
        #[arg(long, env = "STEWARD_CA_NAME", value_name = "CN")]
        name: Option<String>,
        #[command(flatten)]
        from: From,
    },
    /// Sign the request of an intermediate, on the machine of the root; prints its chain
    Sign {
        /// The request, PEM
        #[arg(env = "STEWARD_CA_REQUEST")]
        request: PathBuf,
        /// Common name; the one in the request if not given
        #[arg(long, env = "STEWARD_CA_NAME", value_name = "CN")]
        name: Option<String>,
        #[command(flatten)]
        root: Root,
        /// Write the chain here instead; not over a file that is there
        #[arg(long, env = "STEWARD_CA_OUT", value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make the next revocation list of a CA: DIR/<key id>.crl; what the one before it revokes stays revoked
    Crl {
        /// Directory of revocation lists, as `steward serve --crl-dir` serves it
        #[arg(env = "STEWARD_CRL_DIR")]
        dir: PathBuf,
        #[command(flatten)]
        list: List,
    },
    /// Put an intermediate into service whose request was signed elsewhere
    Install {
        /// Directory where the request was made
        #[arg(env = "STEWARD_CA_DIR")]
        dir: PathBuf,
        /// The chain, PEM, the intermediate first
        #[arg(env = "STEWARD_CA_CHAIN")]
        chain: PathBuf,
        /// Print what was done as JSON
        #[arg(long, env = "STEWARD_JSON")]
        json: bool,
    },
}

/// Reads where a key is; unlike clap's own error, this one's does not repeat the text, which may hold a PIN.
#[derive(Clone, Debug)]
pub(super) struct KeyParser;

impl clap::builder::TypedValueParser for KeyParser {
    type Value = KeySource;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let refused = |why: &dyn std::fmt::Display| {
            let argument = argument.map(ToString::to_string).unwrap_or_default();
            clap::Error::raw(
                clap::error::ErrorKind::ValueValidation,
                format!("invalid value for '{argument}': {why}\n"),
            )
            .with_cmd(command)
        };
        let text = value.to_str().ok_or_else(|| refused(&"it is no UTF-8"))?;
        text.parse().map_err(|error| refused(&error))
    }
}

/// The root that signs.
#[derive(Debug, Args)]
pub(super) struct Root {
    /// Certificate of the root, PEM
    #[arg(long, env = "STEWARD_CA_ROOT_CERT", value_name = "FILE")]
    root_cert: PathBuf,
    /// Private key of the root: PEM, mode 0600, or pkcs11:… for one in a token
    #[arg(long, env = "STEWARD_CA_ROOT_KEY", value_name = "KEY", value_parser = KeyParser)]
    root_key: KeySource,
    /// How long the intermediate is valid, in days; never longer than the root
    #[arg(long, env = "STEWARD_CA_DAYS", value_name = "DAYS", default_value_t = INTERMEDIATE_DAYS, value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// First second of its validity, RFC 3339 in UTC; an hour ago if not given
    #[arg(long, env = "STEWARD_CA_NOT_BEFORE", value_name = "TIME")]
    not_before: Option<Timestamp>,
}

/// A revocation list.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Certificate of the CA, PEM, followed by those above it
    #[arg(long, env = "STEWARD_CA_CERT", value_name = "FILE")]
    ca_cert: PathBuf,
    /// Private key of the CA: PEM, mode 0600, or pkcs11:… for one in a token
    #[arg(long, env = "STEWARD_CA_KEY", value_name = "KEY", value_parser = KeyParser)]
    ca_key: KeySource,
    /// Serial number of a certificate to revoke, hex; may be given many times
    #[arg(long, env = "STEWARD_CA_REVOKE", value_name = "HEX", value_delimiter = ',')]
    revoke: Vec<String>,
    /// Refuse to revoke what is not in this issuance log
    #[arg(long, env = "STEWARD_ISSUANCE_LOG", value_name = "DIR")]
    issuance_log: Option<PathBuf>,
    /// How long the list is valid, in hours
    #[arg(long, env = "STEWARD_CRL_HOURS", value_name = "HOURS", default_value_t = authority::crl::HOURS, value_parser = clap::value_parser!(u32).range(1..=672))]
    hours: u32,
    /// Print what was made as JSON
    #[arg(long, env = "STEWARD_JSON")]
    json: bool,
}

/// Where a new intermediate comes from.
#[derive(Debug, Args)]
pub(super) struct From {
    #[command(flatten)]
    root: Option<Root>,
    /// Use this key, a file or the URI of one in a token, rather than a new one
    #[arg(long, env = "STEWARD_CA_NEW_KEY", value_name = "KEY", value_parser = KeyParser)]
    key: Option<KeySource>,
    /// Only make key and request; have it signed on the machine of the root with `steward ca sign`
    #[arg(
        long,
        env = "STEWARD_CA_CSR_ONLY",
        conflicts_with = "Root",
        required_unless_present = "Root"
    )]
    csr_only: bool,
    /// Print what was made as JSON
    #[arg(long, env = "STEWARD_JSON")]
    json: bool,
}

impl Root {
    /// The root, and the first second of what it is to sign.
    fn open(&self) -> anyhow::Result<(Authority, Timestamp, Timestamp)> {
        let now = Clock::System.now();
        // Somebody who dates a CA back or ahead means the time at which all of it is looked at.
        let (first, at) = match self.not_before {
            Some(time) => (time, time),
            None => (now.minus(SKEW_SECONDS), now),
        };
        let pem = read(&self.root_cert, CA_FILE_BYTES_MAX)?;
        let signer = self.root_key.open()?;
        let root = Authority::new(&pem, signer, at).with_context(|| {
            format!(
                "the root {} with the key {} cannot be used",
                self.root_cert.display(),
                self.root_key
            )
        })?;
        Ok((root, first, at))
    }
}

/// The key that is given, or a new one, with what a key file must hold for it.
fn key(given: Option<&KeySource>) -> anyhow::Result<(Signer, Secret)> {
    match given {
        Some(source) => Ok((source.open()?, source.to_file()?)),
        None => {
            let (signer, pem) = Signer::generate()?;
            Ok((signer, Secret::new(pem.as_bytes().to_vec())))
        }
    }
}

/// Runs one of the commands.
pub(super) fn run(command: &Ca) -> ExitCode {
    let done = match command {
        Ca::Init { dir, name, key, not_before, json } => {
            init::init(dir, name, key.as_ref(), *not_before, *json)
        }
        Ca::Intermediate { dir, name, from } => intermediate::first(dir, name, from),
        Ca::Rotate { dir, name, from } => intermediate::next(dir, name.as_deref(), from),
        Ca::Sign { request, name, root, out } => {
            intermediate::sign(request, name.as_deref(), root, out.as_deref())
        }
        Ca::Crl { dir, list } => crl::next(dir, list),
        Ca::Install { dir, chain, json } => intermediate::install(dir, chain, *json),
    };
    match done {
        Ok(text) => match writeln!(io::stdout(), "{}", text.trim_end()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        },
        Err(Stop::Usage(error)) => usage(&format!("{error:#}")),
        Err(Stop::Failed(error)) => failed(&error),
    }
}

/// Why a command did not do its work.
enum Stop {
    /// The command line, or a file that it names, is wrong.
    Usage(anyhow::Error),
    /// It could not be done.
    Failed(String),
}

impl<E: Into<anyhow::Error>> std::convert::From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Usage(error.into())
    }
}

/// A file of at most `bytes_max`.
pub(super) fn read(path: &std::path::Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    let unreadable = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
        .with_context(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(anyhow!("it is larger than {bytes_max} bytes")).with_context(unreadable);
    }
    Ok(bytes)
}
