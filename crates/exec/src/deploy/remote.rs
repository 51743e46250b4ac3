// SPDX-License-Identifier: Apache-2.0

//! A workload out of a registry: fetched only once the Keep is attested for exactly it.

use std::time::Instant;

use drawbridge_client::Client;
use drawbridge_core::DeployInfo;
use drawbridge_core::statement::Parsed;
use types::digest::Sha256;
use types::slug::Slug;

use crate::deploy::local::cannot_attest;
use crate::deploy::{Context, Failure, Prepared, Stage, certify, configuration, reach};
use crate::hostlink::{Files, Level, micros};
use crate::identity::{Identity, Workload};

/// Steps 1 to 12.
pub(super) fn prepare(
    context: &Context<'_>,
    slug: &Slug,
    steward: Option<&str>,
    insecure_no_tee: bool,
) -> Result<Prepared, Failure> {
    let link = context.link;
    let pinned = slug.digest.map_or_else(
        || "not pinned: the registry's word counts".to_owned(),
        |digest| format!("{digest}, pinned"),
    );
    let name = slug.clone().without_digest();
    link.step(
        1,
        "The administrator named the workload",
        vec![("workload", name.to_string()), ("digest", pinned)],
    );

    let info = look_up(context, slug)?;
    let steward = info.steward.as_deref().or(steward);
    let digest = info.digest;
    let alive = format!("{} µs after its start", micros(link.started()));
    link.step(4, "The Keep is up, and holds nothing yet", vec![("asked and answered", alive)]);

    let identity = identify(context, &name, &info, steward, insecure_no_tee)?;
    let files = fetch(context, slug, &digest, identity.as_ref())?;
    let config = configuration(&files, Vec::new())?;
    // A package that names none leaves the choice to whoever deploys it, but not to the registry.
    if config.steward.is_some() || info.steward.is_some() {
        same_steward(config.steward.as_deref(), steward)?;
    }
    Ok(Prepared { config, files, digest, identity })
}

/// Steps 2 and 3: what the registry says.
fn look_up(context: &Context<'_>, slug: &Slug) -> Result<DeployInfo, Failure> {
    let agent = reach::agent(context, None)?;
    let info = Client::new(&slug.host, agent).deploy_info(slug).map_err(|error| {
        let hint = error.hint().unwrap_or(
            "is the name right, is the registry running, and is its certificate one that the roots given with \
             --ca-bundle (or the Web PKI) back?",
        );
        Failure::new(Stage::Resolve, &error).hint(hint)
    })?;
    context.link.step(
        2,
        "Drawbridge said which Steward the workload wants",
        vec![("steward", info.steward.clone().unwrap_or_else(|| "none".to_owned()))],
    );
    let kid = check_statement(slug, &info)?;
    context.link.step(
        3,
        "Drawbridge said which digest the tag stands for",
        vec![
            ("digest", info.digest.to_string()),
            ("pinned", if slug.digest.is_some() { "yes, and equal" } else { "no" }.to_owned()),
            ("statement signed by", kid),
        ],
    );
    Ok(info)
}

/// The registry's statement must be about what it is said to be about. Whether the signature is good is Steward's to say,
/// which knows the registries' keys.
fn check_statement(slug: &Slug, info: &DeployInfo) -> Result<String, Failure> {
    let hint = "the registry contradicts itself; its operator has to look at it";
    let parsed = Parsed::parse(&info.statement)
        .map_err(|error| Failure::new(Stage::Resolve, error).hint(hint))?;
    let stated =
        parsed.statement.slug().map_err(|error| Failure::new(Stage::Resolve, error).hint(hint))?;
    if stated.without_digest() != slug.clone().without_digest() {
        return Err(Failure::new(Stage::Resolve, "the registry's statement is about another tag")
            .hint(hint));
    }
    if parsed.statement.digest != info.digest {
        return Err(Failure::new(
            Stage::Resolve,
            "the registry's statement is about another digest",
        )
        .hint(hint));
    }
    Ok(parsed.kid)
}

/// Steps 5 to 8, or the reason to go on without a certificate.
fn identify(
    context: &Context<'_>,
    name: &Slug,
    info: &DeployInfo,
    steward: Option<&str>,
    insecure_no_tee: bool,
) -> Result<Option<Identity>, Failure> {
    let reason = match steward {
        None => "the workload names no Steward",
        Some(steward) => {
            let workload = Workload { digest: &info.digest, named: Some((name, &info.statement)) };
            match certify::certify(context, workload, steward)? {
                Some(identity) => return Ok(Some(identity)),
                None if !insecure_no_tee => return Err(cannot_attest()),
                None => "--insecure-no-tee: there is no evidence",
            }
        }
    };
    context
        .link
        .log(Level::Warn, &format!("no certificate ({reason}): others see this Keep as anonymous"));
    Ok(None)
}

/// Steps 9 to 12.
fn fetch(
    context: &Context<'_>,
    slug: &Slug,
    digest: &Sha256,
    identity: Option<&Identity>,
) -> Result<Files, Failure> {
    let link = context.link;
    let since = Instant::now();
    let agent = reach::agent(context, identity)?;
    let way = if identity.is_some() { "with the certificate of Steward" } else { "anonymously" };
    link.step(
        9,
        "The Keep asks Drawbridge for the workload",
        vec![("authenticated", way.to_owned())],
    );
    let files = Client::new(&slug.host, agent).fetch_package(slug, digest).map_err(|error| {
        let hint = match (error.hint(), error.status()) {
            (Some(hint), _) => hint,
            (None, Some(401 | 403 | 404)) => {
                "the repository is private, and its owner does not release this workload to this Keep"
            }
            _ => "",
        };
        Failure::new(Stage::Fetch, &error).hint(hint)
    })?;
    link.timing("fetch", since);
    let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    let released =
        if identity.is_some() { "to the attested Keep" } else { "to everybody: it is public" };
    link.step(
        10,
        "Drawbridge checked who asks, and released the workload",
        vec![("released", released.to_owned())],
    );
    link.step(
        11,
        "Drawbridge sent the workload",
        vec![("files", files.len().to_string()), ("bytes", bytes.to_string())],
    );
    link.step(
        12,
        "The Keep checked every byte against the digest",
        vec![("digest", digest.to_string())],
    );
    Ok(files)
}

/// The Steward that vouched must be the one that the workload names, whatever registry and host said before.
fn same_steward(named: Option<&str>, used: Option<&str>) -> Result<(), Failure> {
    let plain = |url: &str| url.trim_end_matches('/').to_owned();
    if named.map(plain) == used.map(plain) {
        return Ok(());
    }
    let word = |url: Option<&str>| url.map_or_else(|| "none".to_owned(), str::to_owned);
    Err(Failure::new(
        Stage::Config,
        format!("the workload names the Steward {}, but the Keep was led to {}", word(named), word(used)),
    )
    .hint("the key `steward` of the package's Enarx.toml decides; leave out --steward, and suspect the registry"))
}
