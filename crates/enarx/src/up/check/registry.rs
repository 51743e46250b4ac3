// SPDX-License-Identifier: Apache-2.0

//! The registry: what it gives to whom, and what a Keep takes from it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use drawbridge_client::Client;
use drawbridge_core::{RepoRecord, UserRecord};
use testkit::oidc::{Algorithm, DevIssuer};
use types::digest::Sha256;
use types::slug::Slug;

use super::{Checker, Got};
use crate::failure::{Context as _, Failure};
use crate::up::demo;
use crate::up::world::{World, free_port};
use crate::{login, oidc, reach};

/// Name of the Drawbridge that is killed.
const VICTIM: &str = "drawbridge-2";
/// Bytes of the file whose upload is cut short.
const LARGE_BYTES: usize = 4 << 20;

/// Makes the checks.
pub(super) fn run(checker: &mut Checker<'_>) -> Result<(), Failure> {
    checker.check(
        "a package with another digest than the one named",
        "the Keep gives up",
        |world| {
            let pinned = Slug { digest: Some(Sha256([0; 32])), ..world.slug(demo::CLIENT_REPO)? };
            gives_up(world, "misled", &pinned, &["resolve", "fetch"])
        },
    )?;
    checker.check(
        "a byte of a package changed on Drawbridge's disk",
        "the Keep gives up",
        altered,
    )?;
    checker.check("an unknown key in Enarx.toml", "refused, with its place", misspelt)?;
    checker.check("nobody's token", "refused with 401", |world| {
        Ok(refused(client(world)?.repo_put(demo::USER, "intruder", &PRIVATE)))
    })?;
    checker.check("an expired token", "refused with 401", |world| {
        let issuer = issuer(world)?;
        let host = world.services()?.places.registry.clone();
        let mut claims = issuer.claims("developer", &login::audience(&host), oidc::SCOPES);
        claims.issued_at = reach::now().minus(7_200);
        claims.expires_at = reach::now().minus(3_600);
        with_token(world, &issuer, &claims)
    })?;
    checker.check("a token of another issuer", "refused with 401", |world| {
        let issuer = issuer(world)?;
        let host = world.services()?.places.registry.clone();
        let claims = issuer.claims("developer", &login::audience(&host), oidc::SCOPES);
        // It calls itself the same, but has other keys.
        let other = DevIssuer::generate(issuer.issuer(), None, std::sync::Arc::new(reach::now))
            .context("cannot make another issuer")?;
        with_token(world, &other, &claims)
    })?;
    checker.check("a token for another registry", "refused with 401", |world| {
        let issuer = issuer(world)?;
        let claims = issuer.claims("developer", "https://store.example.com", oidc::SCOPES);
        with_token(world, &issuer, &claims)
    })?;
    checker.check(
        "an upload cut short by kill -9, and the same again",
        "nothing visible, then complete",
        cut_short,
    )
}

const PRIVATE: RepoRecord =
    RepoRecord { public: false, discoverable: true, require_signature: false, deletable: false };

fn client(world: &World) -> Result<Client, Failure> {
    let services = world.services()?;
    Ok(Client::new(&services.places.registry, reach::agent(&services.reach)?))
}

fn issuer(world: &World) -> Result<DevIssuer, Failure> {
    world
        .issuer
        .as_ref()
        .map(|(issuer, _)| issuer.clone())
        .ok_or_else(|| Failure::new("the issuer is not up"))
}

fn with_token(world: &World, issuer: &DevIssuer, claims: &testkit::oidc::Claims) -> Got {
    let token = issuer.mint(claims, Algorithm::Es256).context("cannot make a token")?;
    let client = client(world)?.with_token(token);
    Ok(refused(client.repo_put(demo::USER, "intruder", &PRIVATE)))
}

/// Whether a call was refused for want of a good token.
fn refused(outcome: Result<bool, drawbridge_client::Error>) -> (bool, String) {
    match outcome {
        Ok(_) => (false, "it was taken".to_owned()),
        Err(drawbridge_client::Error::Refused { problem, .. }) => {
            (problem.status == 401, format!("{}: {problem}", problem.status))
        }
        Err(error) => (false, error.to_string()),
    }
}

/// A Keep that must give up in one of these stages.
fn gives_up(world: &mut World, name: &str, slug: &Slug, stages: &[&str]) -> Got {
    let (stage, message) = world.gives_up(name, slug, true, None)?;
    Ok((stages.contains(&stage.as_str()), format!("gave up ({stage}): {message}")))
}

fn altered(world: &mut World) -> Got {
    let registry = world.registry()?;
    let mut files = world.services()?.places.client();
    files.push((
        "note.txt".to_owned(),
        b"This file will be altered on the registry's disk.".to_vec(),
    ));
    world.publish(&registry, demo::ALTERED_REPO, files)?;
    let blobs = world.state.path("store").join("blobs").join(demo::USER).join(demo::ALTERED_REPO);
    let file = find(&blobs, b"This file will be altered")
        .context("cannot find the package on the registry's disk")?;
    flip(&file).context("cannot alter the package on the registry's disk")?;
    gives_up(world, "poisoned", &world.slug(demo::ALTERED_REPO)?, &["fetch"])
}

/// The file in `directory` that begins with these bytes.
fn find(directory: &Path, begin: &[u8]) -> std::io::Result<PathBuf> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let mut head = Vec::new();
        File::open(&path)?.take(begin.len() as u64).read_to_end(&mut head)?;
        if head == begin {
            return Ok(path);
        }
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::NotFound,
        format!("no such file in {}", directory.display()),
    ))
}

/// Changes one bit of the first byte.
fn flip(path: &Path) -> std::io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(path, permissions)?;
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&byte.map(|b| b ^ 1))?;
    file.sync_all()
}

fn misspelt(world: &mut World) -> Got {
    let registry = world.registry()?;
    let files = world.services()?.places.misspelt();
    // A registry may refuse it; a Keep must.
    if let Err(failure) = world.publish(&registry, demo::MISSPELT_REPO, files) {
        let why = failure.why.unwrap_or_default();
        return Ok((why.contains("colour"), format!("refused by Drawbridge: {why}")));
    }
    let (stage, message) =
        world.gives_up("misspelt", &world.slug(demo::MISSPELT_REPO)?, true, None)?;
    Ok((stage == "config" && message.contains("colour"), format!("gave up ({stage}): {message}")))
}

/// A second Drawbridge dies in the middle of an upload; started again, it takes the same upload.
fn cut_short(world: &mut World) -> Got {
    let issuer = issuer(world)?;
    let port = free_port()?;
    let host = format!("localhost:{port}");
    world.hub.dismiss(VICTIM);
    let mut victim = world.start_drawbridge(VICTIM, issuer.issuer(), "store-2", port)?;
    let token = issuer
        .mint(&issuer.claims("developer", &login::audience(&host), oidc::SCOPES), Algorithm::Es256)
        .context("cannot make a token")?;
    let agent = || reach::agent(&world.services()?.reach);
    let client = Client::new(&host, agent()?).with_token(token.clone());
    let what = "cannot prepare the upload";
    client.user_put(demo::USER, &UserRecord { subject: "developer".to_owned() }).context(what)?;
    client.repo_put(demo::USER, "large", &PRIVATE).context(what)?;
    let slug: Slug = format!("{host}/{}/large:{}", demo::USER, demo::TAG).parse().context(what)?;
    let mut files = world.services()?.places.client();
    files.push(("large.bin".to_owned(), vec![0x5a; LARGE_BYTES]));

    let half = u64::try_from(LARGE_BYTES / 2).unwrap_or(u64::MAX);
    let cut = client.publish(&slug, files.clone(), &mut |progress| {
        if progress.path == "large.bin" && progress.bytes > half {
            victim.kill();
        }
    });
    if cut.is_ok() {
        return Ok((false, "the upload went through a dead registry".to_owned()));
    }
    drop(victim);
    let victim = world.start_drawbridge(VICTIM, issuer.issuer(), "store-2", port)?;
    // A new client: the old one's connections are gone.
    let client = Client::new(&host, agent()?).with_token(token);
    if client.deploy_info(&slug).is_ok() {
        return Ok((false, "half a package is visible".to_owned()));
    }
    let published =
        client.publish(&slug, files.clone(), &mut |_| {}).context("the same upload, again")?;
    let mut fetched = client.fetch_package(&slug, &published.digest).context("fetching it")?;
    fetched.sort();
    files.sort();
    drop(victim);
    Ok((fetched == files, "nothing visible, then complete".to_owned()))
}
