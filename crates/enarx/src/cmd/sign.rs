// SPDX-License-Identifier: Apache-2.0

//! `enarx package keygen|sign|verify`: owners' signatures on packages (docs/FORMATS.md 2.14).

use std::path::{Path, PathBuf};

use clap::Args;
use drawbridge_core::keys::{KeysDocument, OwnerKey};
use drawbridge_core::signature::{About, Refused, SignatureInfo, Signed};
use drawbridge_core::statement::Parsed;
use serde_json::json;
use types::digest::Sha256;
use types::limits;
use types::slug::Slug;

use crate::cli::RegistryArgs;
use crate::failure::{Context as _, EXIT_FAILED, EXIT_USAGE, Failure, Outcome};
use crate::reach::{self, Registry};
use crate::signing::{self, SigningKey};
use crate::tokens::TokenStore;
use crate::{files, output};

const KEYGEN_EXAMPLES: &str = "\
Examples:
  enarx package keygen release.key
  enarx user keys add store.example.com/alice --key release.key --name release";
const SIGN_EXAMPLES: &str = "\
Examples:
  enarx package sign store.example.com/alice/app:1.2.0 app/ --key release.key       what these files are
  enarx package sign store.example.com/alice/app:1.2.0@sha256:… --key release.key   what has this digest
  enarx package sign store.example.com/alice/app:1.2.0 --key release.key            what the registry says that it is

The key's public half must be one of the owner's: `enarx user keys add`.";
const VERIFY_EXAMPLES: &str = "\
Examples:
  enarx package verify store.example.com/alice/app:1.2.0 --key alice.pub.pem
  enarx package verify store.example.com/alice/app:1.2.0 --keys alice.jwks
  enarx package verify store.example.com/alice/app:1.2.0       by the keys that the registry says are the owner's

Fetches every byte and checks it against the digest, checks what the registry states, and checks the signatures. The exit code
is 0 if all is good and at least one signature counts, else 1. Deploy what was checked by its digest.";

/// Arguments of `enarx package keygen`.
#[derive(Debug, Args)]
#[command(after_help = KEYGEN_EXAMPLES)]
pub struct KeygenArgs {
    /// File to make; must not exist
    #[arg(value_name = "FILE")]
    pub path: PathBuf,
    /// Print the public key as JSON: a JWK
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `enarx package sign`.
#[derive(Debug, Args)]
#[command(after_help = SIGN_EXAMPLES)]
pub struct SignArgs {
    /// The name: host/user/repo:tag, optionally with the digest to sign
    pub slug: Slug,
    /// The files that it must be: a directory with main.wasm, or a WebAssembly module
    #[arg(value_name = "DIR|FILE")]
    pub path: Option<PathBuf>,
    /// File with the private key: PKCS#8 in PEM, readable by you only
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx package verify`.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct VerifyArgs {
    /// The name: host/user/repo:tag, optionally with the digest it must have
    pub slug: Slug,
    /// File with a key to believe: public or private in PEM, or a JWK (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// File with keys to believe: a JWK set, as `enarx user keys list --json` prints it
    #[arg(long, value_name = "JWKS")]
    pub keys: Option<PathBuf>,
    /// File with the registry's public key in PEM, as `drawbridge key show` prints it
    #[arg(long, value_name = "FILE")]
    pub registry_key: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `enarx package keygen`.
///
/// # Errors
/// If the file cannot be made.
pub fn keygen(args: &KeygenArgs) -> Outcome {
    let key = SigningKey::generate(&args.path)?;
    if args.json {
        output::json(&OwnerKey::new(key.public(), &label(&args.path), None))?;
    } else {
        output::data(&format!("{}\n", key.public().thumbprint()))?;
    }
    let path = args.path.display();
    output::talk(&format!(
        "keep {path} to yourself; next: `enarx user keys add HOST/USER --key {path} --name NAME`"
    ));
    Ok(0)
}

/// `enarx package sign`.
///
/// # Errors
/// What the registry says; what is wrong with the key or the files.
pub fn sign(args: &SignArgs, store: &TokenStore) -> Outcome {
    let key = SigningKey::read(&args.key)?;
    let local = match &args.path {
        Some(path) => {
            let files = files::read_package(path)?;
            let digest = drawbridge_core::package_digest(files);
            Some(digest.context(format!("{} is no package", path.display()))?)
        }
        None => None,
    };
    let registry = Registry::open(&args.slug.host, &args.registry, store)?;
    registry.token()?;
    let name = args.slug.clone().without_digest();
    let entry = registry.client().tag_entry(&args.slug);
    let entry = entry.map_err(|e| registry.failure(format!("cannot sign {name}"), &e))?;
    let digest = entry.0.digest.sha256();
    match local {
        Some(local) if local != digest => {
            return Err(Failure::new(format!("cannot sign {name}"))
                .why(format!("it stands for {digest}, and the files are {local}"))
                .next("publish these files under another version, or sign what you published"));
        }
        None if args.slug.digest.is_none() => output::talk(&format!(
            "{}: signing {digest} on the registry's word; name the files or the digest to be sure",
            output::stderr_style().warn("warning")
        )),
        _ => {}
    }
    add(&registry, &args.slug, digest, &key)?;
    output::data(&format!("{name}@{digest}\n"))?;
    Ok(0)
}

/// Signs a version and tells the registry.
///
/// # Errors
/// What the registry says.
pub fn add(
    registry: &Registry,
    slug: &Slug,
    digest: Sha256,
    key: &SigningKey,
) -> Result<(), Failure> {
    let name = slug.clone().without_digest();
    let jws = key.sign(slug, digest)?;
    registry
        .client()
        .add_signature(slug, &jws)
        .map_err(|e| registry.failure(format!("cannot sign {name}"), &e))?;
    output::talk(&format!("{name} is signed by {}", key.public().thumbprint()));
    Ok(())
}

/// A name for a key that has none.
fn label(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("key");
    let name: String =
        name.chars().filter(char::is_ascii_graphic).take(limits::NAME_BYTES_MAX).collect();
    if name.is_empty() { "key".to_owned() } else { name }
}

/// The keys to believe, if the user named some.
fn pinned(args: &VerifyArgs) -> Result<Option<Vec<OwnerKey>>, Failure> {
    let mut keys = Vec::new();
    for path in &args.key {
        keys.push(OwnerKey::new(&signing::public_key(path)?, &label(path), None));
    }
    if let Some(path) = &args.keys {
        let what = || format!("cannot use the keys in {}", path.display());
        let text = files::read_text(path, limits::JSON_BYTES_MAX)?;
        let document: KeysDocument =
            serde_json::from_str(&text).context(what()).map_err(|f| f.code(EXIT_USAGE))?;
        document.check().map_err(|flaw| Failure::new(what()).why(flaw).code(EXIT_USAGE))?;
        keys.extend(document.keys);
    }
    Ok((!args.key.is_empty() || args.keys.is_some()).then_some(keys))
}

/// `enarx package verify`.
///
/// # Errors
/// If something is not as it should be, or cannot be had.
pub fn verify(args: &VerifyArgs, store: &TokenStore) -> Outcome {
    let pinned = pinned(args)?;
    let registry_key = args.registry_key.as_deref().map(signing::public_key).transpose()?;
    let registry = Registry::open(&args.slug.host, &args.registry, store)?;
    let name = args.slug.clone().without_digest();
    let refused = |why: String| Failure::new(format!("{name} is refused")).why(why);
    let failed = |e: &_| registry.failure(format!("{name} is refused"), e);
    let client = registry.client();

    let deploy = client.deploy_info(&args.slug).map_err(|e| failed(&e))?;
    let digest = deploy.digest;
    let parsed = Parsed::parse(&deploy.statement).map_err(|e| refused(e.to_string()))?;
    let stated = parsed.statement.slug().map_err(|e| refused(e.to_string()))?;
    if stated != name || parsed.statement.digest != digest {
        return Err(refused("the registry's statement is about something else".to_owned()));
    }
    if let Some(key) = &registry_key
        && !verify::signature::is_stated_by(&parsed, key)
    {
        let why = "the registry's statement is not signed by the key of --registry-key";
        return Err(refused(why.to_owned()));
    }
    let fetched = client.fetch_package(&args.slug, &digest).map_err(|e| failed(&e))?;
    let bytes: usize = fetched.iter().map(|(_, bytes)| bytes.len()).sum();

    let owner =
        client.document::<KeysDocument>(&args.slug.user, None).map_err(|e| failed(&e))?.value;
    let by_registry = pinned.is_none();
    let mut keys = pinned.unwrap_or_else(|| owner.keys.clone());
    // Whatever the user believes, the owner takes back.
    for key in &mut keys {
        key.revoked |= owner.keys.iter().any(|own| own.kid == key.kid && own.revoked);
    }
    let signatures = client.signatures(&args.slug).map_err(|e| failed(&e))?.signatures;
    let tag = args.slug.tag.to_string();
    let (host, user, repo) = (&args.slug.host, &args.slug.user, &args.slug.repo);
    let about = About { host, user, repo, tag: &tag, digest };
    let judged: Vec<_> = signatures
        .into_iter()
        .map(|SignatureInfo { jws, kid, .. }| {
            (kid, verify::signature::judge(&jws, &about, &keys, reach::now()))
        })
        .collect();
    let good = judged.iter().any(|(_, judged)| judged.is_ok());

    if args.json {
        let signature = |(kid, judged): &(String, Result<Signed, Refused>)| match judged {
            Ok(Signed { name, iat, .. }) => {
                json!({"kid": kid, "key": name, "iat": iat})
            }
            Err(refused) => json!({"kid": kid, "check": refused.check()}),
        };
        let signatures: Vec<_> = judged.iter().map(signature).collect();
        output::json(&json!({"slug": name, "digest": digest, "verified": good, "bytes": bytes,
            "statement": {"kid": parsed.kid, "signature_checked": registry_key.is_some()},
            "keys_of_registry": by_registry, "signatures": signatures}))?;
        return Ok(if good { 0 } else { EXIT_FAILED });
    }
    let statement = match registry_key {
        Some(_) => format!("good, by {}", parsed.kid),
        None => {
            format!("about this; its signature by {} is not checked (--registry-key)", parsed.kid)
        }
    };
    let mut rows = vec![
        vec!["workload".to_owned(), name.to_string()],
        vec!["digest".to_owned(), digest.to_string()],
        vec!["content".to_owned(), format!("{}, every byte checked", output::bytes(bytes as u64))],
        vec!["registry".to_owned(), statement],
    ];
    rows.extend(judged.iter().map(|(kid, judged)| {
        let text = match judged {
            Ok(signed) => format!("good, by {} ({})", kid, signed.name),
            Err(refused) => format!("refused, by {kid}: {refused}"),
        };
        vec!["signature".to_owned(), text]
    }));
    output::data(&output::columns(&rows))?;
    if !good {
        let why = match judged.is_empty() {
            true => "it carries no signature",
            false => "none of its signatures counts",
        };
        return Err(refused(why.to_owned()));
    }
    if by_registry {
        output::talk(
            "the keys are those that the registry says are the owner's; --key or --keys name others",
        );
    }
    output::talk(&format!("next: `enarx deploy {name}@{digest}`"));
    Ok(0)
}
