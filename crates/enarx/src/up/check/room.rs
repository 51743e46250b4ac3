// SPDX-License-Identifier: Apache-2.0

//! The room: what outsiders can verify, and whom it turns away.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use testkit::pki::DevCa;
use types::hostlink::{Event, FromKeep};
use verify::tls::KeepServerVerifier;
use verify::{Anchors, Requirements};

use super::{Checker, Got};
use crate::failure::{Context as _, Failure};
use crate::up::hub::{Happening, Mark};
use crate::up::services::STEWARD_ROOT;
use crate::up::world::World;
use crate::up::{ROOM, demo};
use crate::{cmd, output, reach};

/// How long the room may take to open its door, or to close it.
const KNOCK: Duration = Duration::from_secs(10);

/// Makes the checks.
pub(super) fn run(checker: &mut Checker<'_>) -> Result<(), Failure> {
    openssl(checker)?;
    checker.check(
        "enarx verify with simulated silicon allowed",
        "accepted: demo/chat-server",
        |world| {
            let (identity, _) = judge(world, true)?;
            let workload = identity.slug.map(|slug| slug.to_string()).unwrap_or_default();
            Ok((
                workload == world.slug(demo::SERVER_REPO)?.to_string(),
                format!("accepted: {workload}"),
            ))
        },
    )?;
    checker.check("enarx verify without that flag", "refused", |world| {
        match judge(world, false)? {
            (_, Some(why)) => Ok((true, format!("refused: {why}"))),
            (_, None) => Ok((false, "accepted".to_owned())),
        }
    })?;
    checker.check(
        "a client without a certificate",
        "refused by the room, and logged",
        |world| turned_away(world, None),
    )?;
    checker.check(
        "a client with a certificate of another authority",
        "refused by the room, and logged",
        |world| {
            let what = "cannot make a certificate";
            let now = reach::now();
            let other = DevCa::generate("another authority", now).context(what)?;
            let identity = other.issue_client("stranger", now).context(what)?;
            turned_away(world, Some(identity))
        },
    )?;
    checker.check("a Keep with another workload", "refused by the room, and logged", stranger)
}

/// What the room's certificate proves, and why that is not enough.
fn judge(
    world: &World,
    allow_simulated: bool,
) -> Result<(verify::Identity, Option<String>), Failure> {
    let what = "cannot judge the room's certificate";
    let probe = verify::probe("localhost", world.chat_port, &anchors(world)?, reach::now())
        .context(what)?;
    let identity = probe.identity.context(what)?;
    let requirements = Requirements { allow_simulated, ..Requirements::default() };
    let unmet = requirements.check(&identity, reach::now()).err().map(|unmet| unmet.to_string());
    Ok((identity, unmet))
}

fn anchors(world: &World) -> Result<Anchors, Failure> {
    Ok(Anchors {
        roots: cmd::expect::certificates(&world.state.path(STEWARD_ROOT))?,
        ..Anchors::default()
    })
}

/// Goes to the room with this certificate and key (PEM), and must be turned away.
fn turned_away(world: &mut World, identity: Option<(String, String)>) -> Got {
    let mark = world.hub.mark();
    let (port, greeting) = knock(world, identity)?;
    if let Some(greeting) = greeting {
        return Ok((false, format!("let in: {greeting}")));
    }
    let ours = format!(":{port}");
    Ok((true, format!("refused: {}", refusal(world, mark, |address, _| address.ends_with(&ours))?)))
}

/// Connects to the room as a client. From which port, and what it says if it lets one in.
fn knock(
    world: &World,
    identity: Option<(String, String)>,
) -> Result<(u16, Option<String>), Failure> {
    let what = "cannot knock at the room's door";
    let requirements = Requirements { allow_simulated: true, ..Requirements::default() };
    let config = ClientConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .context(what)?
        .dangerous()
        .with_custom_certificate_verifier(KeepServerVerifier::new(anchors(world)?, requirements));
    let config = match identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let chain: Result<Vec<_>, _> =
                CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).context(what)?;
            config.with_client_auth_cert(chain.context(what)?, key).context(what)?
        }
    };
    let name = ServerName::try_from("localhost").context(what)?;
    let connection = ClientConnection::new(Arc::new(config), name).context(what)?;
    let socket = TcpStream::connect(("localhost", world.chat_port)).context(what)?;
    socket.set_read_timeout(Some(KNOCK)).context(what)?;
    socket.set_write_timeout(Some(KNOCK)).context(what)?;
    let port = socket.local_addr().context(what)?.port();
    let mut stream = StreamOwned::new(connection, socket);
    // A TLS 1.3 client is done before the server has judged it, so a refusal shows when it reads.
    let _ = stream.write_all(b"let me in\n").and_then(|()| stream.flush());
    let mut greeting = [0; 256];
    match stream.read(&mut greeting) {
        Ok(0) => Ok((port, None)),
        Ok(count) => {
            let greeting = String::from_utf8_lossy(greeting.get(..count).unwrap_or_default())
                .trim()
                .to_owned();
            Ok((port, Some(greeting)))
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(Failure::new("the room neither let the client in nor turned it away"))
        }
        Err(_) => Ok((port, None)),
    }
}

/// Why the room's Keep refused the one that `is` tells apart, by address and reason.
fn refusal(
    world: &mut World,
    mark: Mark,
    is: impl Fn(&str, &str) -> bool,
) -> Result<String, Failure> {
    world.wait_for(ROOM, mark, "the room's Keep logs the refusal", |happening| match happening {
        Happening::Keep {
            name,
            message: FromKeep::Event { event: Event::Refused { address, reason } },
        } if name == ROOM && is(address, reason) => Some(reason.clone()),
        _ => None,
    })
}

/// A Keep that is attested in every way, but runs something else than the client.
fn stranger(world: &mut World) -> Got {
    let registry = world.registry()?;
    let files = world.services()?.places.client();
    world.publish(&registry, demo::STRANGER_REPO, files)?;
    let mark = world.hub.mark();
    let keep = world.deploy("stranger", &world.slug(demo::STRANGER_REPO)?)?;
    // Others were refused before, for other reasons: this one is refused for what it runs.
    let reason = refusal(world, mark, |_, reason| reason.contains(demo::STRANGER_REPO))?;
    drop(keep);
    Ok((true, format!("refused: {reason}")))
}

/// The room's chain as ordinary tools see it.
fn openssl(checker: &mut Checker<'_>) -> Result<(), Failure> {
    const CLIENT: &str = "openssl s_client against Steward's root alone";
    const VERIFY: &str = "openssl verify of the room's certificate";
    const TEXT: &str = "openssl x509 -text shows workload, digest and policy";
    if Command::new("openssl")
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        for check in [CLIENT, VERIFY, TEXT] {
            output::talk(&format!("SKIP {check}: openssl is not installed"));
            checker.report.skip(check, "openssl is not installed");
        }
        return Ok(());
    }
    let (root, leaf) =
        (checker.world.state.path(STEWARD_ROOT), checker.world.state.path("room.pem"));
    checker.check(CLIENT, "Verify return code: 0 (ok)", |world| {
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-connect",
            &format!("localhost:{}", world.chat_port),
            "-servername",
            "localhost",
        ]);
        command
            .args(["-verify_return_error", "-verify_hostname", "localhost", "-CAfile"])
            .arg(&root);
        let said = said(&mut command)?;
        let begin = said.find("-----BEGIN CERTIFICATE-----").unwrap_or_default();
        let end = said
            .find("-----END CERTIFICATE-----")
            .map_or(0, |at| at + "-----END CERTIFICATE-----".len());
        world.state.write("room.pem", format!("{}\n", said.get(begin..end).unwrap_or_default()))?;
        let line = said.lines().map(str::trim).find(|line| line.starts_with("Verify return code:"));
        let line = line.unwrap_or("no verdict").to_owned();
        Ok((line.ends_with(": 0 (ok)"), line))
    })?;
    checker.check(VERIFY, "OK", |_| {
        let said = said(
            Command::new("openssl")
                .args(["verify", "-x509_strict", "-CAfile"])
                .arg(&root)
                .arg(&leaf),
        )?;
        Ok((
            said.trim_end().ends_with(": OK"),
            said.trim().rsplit(": ").next().unwrap_or_default().to_owned(),
        ))
    })?;
    checker.check(TEXT, "all three", |world| {
        let said =
            said(Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(&leaf))?;
        let slug = format!("URI:{}", world.slug(demo::SERVER_REPO)?.uri());
        let missing: Vec<&str> = [slug.as_str(), "URI:ni:///sha-256;", "/policy/"]
            .into_iter()
            .filter(|word| !said.contains(word))
            .collect();
        let got = if missing.is_empty() {
            "all three".to_owned()
        } else {
            format!("not there: {}", missing.join(", "))
        };
        Ok((missing.is_empty(), got))
    })
}

/// What a program writes to both of its streams.
fn said(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().context("cannot run openssl")?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(said)
}
