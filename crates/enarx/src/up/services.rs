// SPDX-License-Identifier: Apache-2.0

//! How the services are started: by their command lines, as any operator would.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use types::digest::Sha256;

use super::demo::{self, Places};
use super::service::{self, Service};
use super::world::{World, free_port};
use crate::failure::{Context as _, Failure};
use crate::{cmd, files, login};

/// The program of the attestation authority.
pub(super) const STEWARD: &str = "steward";
/// The program of the registry.
pub(super) const DRAWBRIDGE: &str = "drawbridge";

/// Chain of the services' TLS certificate, in the state directory.
pub(super) const TLS_CHAIN: &str = "tls.pem";
/// Its key.
pub(super) const TLS_KEY: &str = "tls.key";
/// Its root.
pub(super) const TLS_ROOT: &str = "tls-root.pem";
/// Steward's root.
pub(super) const STEWARD_ROOT: &str = "steward/ca.pem";
/// Its key.
pub(super) const STEWARD_KEY: &str = "steward/ca.key";
/// Steward's policy.
pub(super) const POLICY: &str = "policy.toml";
/// The simulated silicon.
pub(super) const SILICON: &str = "silicon";
/// Its roots.
pub(super) const SILICON_ROOTS: &str = "silicon-roots.pem";

/// Arguments of a command line.
fn arguments<const N: usize>(words: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_os_string()).collect()
}

/// What a program that ended said.
#[derive(Debug)]
pub(super) struct Said {
    /// Whether it ended well.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a program beside this one to its end.
///
/// # Errors
/// If it cannot be started.
pub(super) fn call(program: &str, arguments: &[OsString]) -> Result<Said, Failure> {
    let mut command = Command::new(files::beside(program)?);
    service::forget_settings(&mut command);
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().context(format!("cannot start {program}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said {
        success: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    })
}

fn must(program: &str, arguments: &[OsString]) -> Result<String, Failure> {
    let said = call(program, arguments)?;
    if said.success {
        Ok(said.stdout)
    } else {
        Err(Failure::new(format!("{program} failed")).why(said.stderr.trim()))
    }
}

impl World {
    /// Makes a fresh root for Steward; its fingerprint.
    ///
    /// # Errors
    /// What `steward ca init` says.
    pub(super) fn make_authority(&self) -> Result<Sha256, Failure> {
        must(
            STEWARD,
            &arguments([&"ca", &"init", &self.state.path("steward"), &"--name", &"enarx up"]),
        )?;
        let certificate = cmd::expect::certificates(&self.state.path(STEWARD_ROOT))?;
        let certificate =
            certificate.first().ok_or_else(|| Failure::new("steward made no certificate"))?;
        Ok(Sha256::of(certificate))
    }

    /// Starts a Drawbridge over the directory `store`.
    ///
    /// # Errors
    /// If it does not come up.
    pub(super) fn start_drawbridge(
        &self,
        name: &str,
        issuer: &str,
        store: &str,
        port: u16,
    ) -> Result<Service, Failure> {
        let host = format!("localhost:{port}");
        let command = arguments([
            &"serve",
            &"--addr",
            &format!("127.0.0.1:{port}"),
            &"--host",
            &host,
            &"--store",
            &self.state.make_directory(store)?,
            &"--tls-cert",
            &self.state.path(TLS_CHAIN),
            &"--tls-key",
            &self.state.path(TLS_KEY),
            &"--oidc-issuer",
            &issuer,
            &"--oidc-audience",
            &login::audience(&host),
            &"--keep-ca",
            &self.state.path(STEWARD_ROOT),
            &"--insecure-release-to-simulated",
        ]);
        Service::start(
            name,
            &files::beside(DRAWBRIDGE)?,
            &command,
            &self.log_of(name),
            &self.hub.sender(),
        )
    }

    /// Writes Steward's policy.
    ///
    /// # Errors
    /// If the registry's key cannot be had.
    pub(super) fn write_policy(&self, file: &str, places: &Places) -> Result<(), Failure> {
        let key =
            must(DRAWBRIDGE, &arguments([&"key", &"show", &"--store", &self.state.path("store")]))?;
        self.state.write(file, policy(&self.measurement, &key, places))?;
        Ok(())
    }

    /// Starts a Steward; with `simulated`, one that takes the simulated silicon.
    ///
    /// # Errors
    /// If it does not come up.
    pub(super) fn start_steward(
        &self,
        name: &str,
        policy: &str,
        simulated: bool,
    ) -> Result<Service, Failure> {
        let port = free_port()?;
        let mut command = arguments([
            &"serve",
            &"--addr",
            &format!("127.0.0.1:{port}"),
            &"--url",
            &format!("https://localhost:{port}"),
            &"--ca-cert",
            &self.state.path(STEWARD_ROOT),
            &"--ca-key",
            &self.state.path(STEWARD_KEY),
            &"--policy",
            &self.state.path(policy),
            &"--tls-cert",
            &self.state.path(TLS_CHAIN),
            &"--tls-key",
            &self.state.path(TLS_KEY),
            &"--issuance-log",
            &self.state.path(&format!("{name}-log")),
        ]);
        if simulated {
            command.extend(arguments([
                &"--insecure-simulated-roots",
                &self.state.path(SILICON_ROOTS),
            ]));
        }
        Service::start(
            name,
            &files::beside(STEWARD)?,
            &command,
            &self.log_of(name),
            &self.hub.sender(),
        )
    }
}

/// The URL of a service by the name in its certificate.
pub(super) fn localhost(service: &Service) -> String {
    format!("https://localhost:{}", port_of(service))
}

/// The port of a service.
pub(super) fn port_of(service: &Service) -> &str {
    service.authority().rsplit(':').next().unwrap_or_default()
}

/// Steward's policy: the Keep and the registry that it trusts, and which names the room may have.
fn policy(measurement: &[u8; 48], registry_key_pem: &str, places: &Places) -> String {
    format!(
        "# For which Keeps this Steward vouches, and on whose word it names their workloads. Written by `enarx up`.\n\
         [snp]\n\
         # The Keep's runtime, as simulated silicon measures it.\n\
         hash = [\"{measurement}\"]\n\n\
         [[registry]]\nhost = \"{registry}\"\nkey = '''\n{registry_key_pem}'''\n\n\
         # The chat room may call itself by the names of this machine.\n\
         [[grant]]\nworkload = \"{registry}/{user}/{repo}\"\ndns = [\"localhost\"]\nip = [\"127.0.0.1\", \"::1\"]\n",
        measurement = hex::encode(measurement),
        registry = places.registry,
        user = demo::USER,
        repo = demo::SERVER_REPO,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A P-256 key, as `drawbridge key show` prints one.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
        6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn the_policy_pins_the_keep_and_grants_the_rooms_names() {
        let places = Places {
            registry: "localhost:8443".into(),
            steward: "https://localhost:3000".into(),
            steward_root: Sha256([7; 32]),
            chat_port: 50_000,
        };
        let policy = evidence::policy::Policy::parse(&policy(&[0xab; 48], KEY, &places)).unwrap();
        assert_eq!(policy.snp.hash, [[0xab; 48]]);
        assert_eq!(policy.registries.len(), 1);
        assert_eq!(policy.grants.len(), 1);
        assert!(policy.snp.allow.is_empty());
    }
}
