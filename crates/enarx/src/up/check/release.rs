// SPDX-License-Identifier: Apache-2.0

//! Who gets a private package and who does not; and which versions no Keep starts.

use std::path::Path;

use drawbridge_client::Client;
use drawbridge_core::RepoRecord;
use drawbridge_core::keys::{KeysDocument, OwnerKey};
use drawbridge_core::oci::{IMAGE, TITLE};
use serde_json::json;
use testkit::oidc::Algorithm;
use testkit::pki::{DevCa, Profile, sample_result};
use types::digest::Sha256;
use types::hostlink::{Event, FromKeep};
use types::slug::Slug;

use super::{Checker, Got};
use crate::failure::{Context as _, Failure};
use crate::signing::SigningKey;
use crate::up::demo;
use crate::up::hub::Happening;
use crate::up::world::World;
use crate::{login, oidc, reach};

/// A package that is yanked.
const YANKED_REPO: &str = "yanked";
/// A package that its owner has to sign.
const SIGNED_REPO: &str = "signed";
/// A package that comes by the OCI protocol.
const PUSHED_REPO: &str = "pushed";
/// Why the one is yanked.
const REASON: &str = "it is here to be refused";

/// Makes the checks.
pub(super) fn run(checker: &mut Checker<'_>) -> Result<(), Failure> {
    checker.check("a private package, for nobody", "refused with 401", |world| {
        let agent = reach::agent(&world.services()?.reach)?;
        asks(world, Client::new(&world.services()?.places.registry, agent), 401)
    })?;
    checker.check(
        "a private package, for a person without a role",
        "refused with 403",
        |world| {
            let agent = reach::agent(&world.services()?.reach)?;
            let host = &world.services()?.places.registry;
            let (issuer, _) =
                world.issuer.as_ref().ok_or_else(|| Failure::new("the issuer is not up"))?;
            let claims = issuer.claims("somebody", &login::audience(host), oidc::SCOPES);
            let token = issuer.mint(&claims, Algorithm::Es256).context("cannot make a token")?;
            asks(world, Client::new(host, agent).with_token(token), 403)
        },
    )?;
    checker.check(
        "a private package, for a Keep of another Steward",
        "refused with 403",
        |world| {
            let what = "cannot make another Steward";
            let now = reach::now();
            let other = DevCa::generate("another Steward", now).context(what)?;
            let digest = world.registry()?.client().tag_entry(&world.slug(demo::CLIENT_REPO)?);
            let digest = digest.context("cannot ask for the digest")?.0.digest.sha256();
            let profile = Profile::keep(&sample_result(digest, None, now));
            let issued = other.issue(&profile, now).context(what)?;
            let agent = verify::https::Agent::builder()
                .clock(std::sync::Arc::new(reach::now))
                .roots_pem(&reach::roots_pem(&world.services()?.reach)?)
                .client_identity(issued.chain_der, issued.key_der)
                .build()
                .context(what)?;
            asks(world, Client::new(&world.services()?.places.registry, agent), 403)
        },
    )?;
    checker.check("a yanked version", "the Keep gives up, and says why", |world| {
        let registry = world.registry()?;
        let files = world.services()?.places.client();
        world.publish(&registry, YANKED_REPO, files)?;
        let slug = world.slug(YANKED_REPO)?;
        registry.client().yank(&slug, REASON, None).context("cannot yank it")?;
        let (stage, message) = world.gives_up("late", &slug, true, None)?;
        let ok = stage == "resolve" && message.contains(REASON);
        Ok((ok, format!("gave up ({stage}): {message}")))
    })?;
    checker.check(
        "a version that nobody signed, where one has to",
        "the Keep gives up",
        |world| {
            let registry = world.registry()?;
            let record =
                RepoRecord { require_signature: true, discoverable: true, ..RepoRecord::default() };
            registry.repo_put(demo::USER, SIGNED_REPO, &record)?;
            let slug = world.slug(SIGNED_REPO)?;
            // Whoever signed it before has no key any more.
            keys(world, &[])?;
            registry.publish(&slug, world.services()?.places.client(), &mut |_| {})?;
            let (stage, message) = world.gives_up("unsigned", &slug, true, None)?;
            let ok = stage == "resolve" && message.contains("signature.required");
            Ok((ok, format!("gave up ({stage}): {message}")))
        },
    )?;
    checker.check("the same, signed by its owner", "released to the Keep", |world| {
        let slug = world.slug(SIGNED_REPO)?;
        let key = key(&world.state.path("release.key"))?;
        keys(world, &[OwnerKey::new(key.public(), "release", None)])?;
        let registry = world.registry()?;
        let entry = registry.client().tag_entry(&slug).context("cannot ask for the digest")?;
        let digest = entry.0.digest.sha256();
        let jws = key.sign(&slug, digest)?;
        registry.client().add_signature(&slug, &jws).context("cannot sign it")?;
        released(world, "signed", &slug, digest)
    })?;
    checker.check("a package pushed by the OCI protocol", "released to the Keep", |world| {
        let slug = world.slug(PUSHED_REPO)?;
        let files = world.services()?.places.client();
        let digest =
            drawbridge_core::package_digest(files.clone()).context("cannot hash the package")?;
        push(world, &files)?;
        released(world, "pushed", &slug, digest)
    })
}

/// Asks for the client's package, and must be refused so.
fn asks(world: &World, client: Client, status: u16) -> Got {
    let slug = world.slug(demo::CLIENT_REPO)?;
    let digest =
        world.registry()?.client().tag_entry(&slug).context("cannot ask for the digest")?;
    Ok(match client.fetch_package(&slug, &digest.0.digest.sha256()) {
        Ok(files) => (false, format!("released: {} files", files.len())),
        Err(drawbridge_client::Error::Refused { problem, .. }) => {
            (problem.status == status, format!("refused with {}: {problem}", problem.status))
        }
        Err(error) => return Err(Failure::new("cannot ask the registry").why(error)),
    })
}

/// Deploys a package in a Keep, which must get it and find it whole.
fn released(world: &mut World, name: &str, slug: &Slug, digest: Sha256) -> Got {
    let mark = world.hub.mark();
    let keep = world.deploy(name, slug)?;
    let text = digest.to_string();
    let facts = world.wait_for(name, mark, "it has its workload", |happening| match happening {
        Happening::Keep {
            name: who,
            message: FromKeep::Event { event: Event::Step { number: 12, facts, .. } },
        } if who == name => Some(facts.clone()),
        _ => None,
    });
    drop(keep);
    let right = facts?.iter().any(|(label, value)| label == "digest" && *value == text);
    Ok((right, format!("released, every byte checked: {text}")))
}

/// The owner's key of an earlier run, or a new one.
fn key(path: &Path) -> Result<SigningKey, Failure> {
    if path.exists() { SigningKey::read(path) } else { SigningKey::generate(path) }
}

/// Makes these the keys of the demo's user.
fn keys(world: &World, keys: &[OwnerKey]) -> Result<(), Failure> {
    let registry = world.registry()?;
    let there = registry.client().document::<KeysDocument>(demo::USER, None);
    let there = there.context("cannot read the keys")?;
    let document = KeysDocument { keys: keys.to_vec() };
    registry
        .client()
        .put_document(demo::USER, None, &document, there.etag.as_deref())
        .context("cannot change the keys")
}

/// Pushes a package as OCI clients do: blobs, then a manifest whose layers have their paths as titles.
fn push(world: &World, files: &[(String, Vec<u8>)]) -> Result<(), Failure> {
    let registry = world.registry()?;
    registry.repo_put(
        demo::USER,
        PUSHED_REPO,
        &RepoRecord { discoverable: true, ..RepoRecord::default() },
    )?;
    let what = "cannot push the package";
    let agent = reach::agent(&world.services()?.reach)?;
    let token = format!("Bearer {}", registry.token()?);
    let base =
        format!("https://{}/v2/{}/{PUSHED_REPO}", world.services()?.places.registry, demo::USER);
    let blob = |bytes: &[u8]| {
        let digest = Sha256::of(bytes).to_string();
        agent
            .post(format!("{base}/blobs/uploads/?digest={digest}"))
            .header("authorization", &token)
            .send(bytes)
            .context(what)?;
        Ok::<_, Failure>(
            json!({"mediaType": "application/octet-stream", "digest": digest, "size": bytes.len()}),
        )
    };
    let mut config = blob(b"{}")?;
    config["mediaType"] = json!("application/vnd.oci.empty.v1+json");
    let mut layers = Vec::new();
    for (path, bytes) in files {
        let mut layer = blob(bytes)?;
        layer["annotations"] = json!({ TITLE: path });
        layers.push(layer);
    }
    let manifest =
        json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers});
    agent
        .put(format!("{base}/manifests/{}", demo::TAG))
        .header("authorization", &token)
        .header("content-type", IMAGE)
        .send(manifest.to_string())
        .context(what)?;
    Ok(())
}
