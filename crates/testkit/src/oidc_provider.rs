// SPDX-License-Identifier: Apache-2.0

//! An OpenID provider that is not ours: npm `oidc-provider` (9 or newer), a process of its own that keeps everything in memory.
//!
//! It signs in whoever asks under whatever name they type. Its clients are public: `enarx-cli`, whose tokens it signs by ES256,
//! and `enarx-rs256`, `enarx-ps256` and `enarx-eddsa`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Arguments: the module, the port or 0, how long access tokens are good in seconds. Every start makes new keys.
const PROGRAM: &str = r"
const [module, port, seconds] = process.argv.slice(1)
const { default: Provider } = await import(module)
const { createServer } = await import('node:http')
const { generateKeyPairSync, randomUUID } = await import('node:crypto')
const key = (alg, type, options) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  alg, use: 'sig', kid: randomUUID(),
})
const keys = [
  key('ES256', 'ec', { namedCurve: 'P-256' }), key('EdDSA', 'ed25519'),
  key('RS256', 'rsa', { modulusLength: 2048 }), key('PS256', 'rsa', { modulusLength: 2048 }),
]
const clients = Object.entries({
  'enarx-cli': 'ES256', 'enarx-rs256': 'RS256', 'enarx-ps256': 'PS256', 'enarx-eddsa': 'EdDSA',
})
const server = createServer()
server.listen(Number(port), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`
  const provider = new Provider(issuer, {
    jwks: { keys },
    cookies: { keys: [randomUUID()] },
    clients: clients.map(([client_id, alg]) => ({
      client_id, application_type: 'native', token_endpoint_auth_method: 'none',
      id_token_signed_response_alg: alg, response_types: ['code'],
      redirect_uris: ['http://127.0.0.1/callback'],
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    })),
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    features: {
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, audience, client) => ({
          audience, accessTokenFormat: 'jwt', accessTokenTTL: Number(seconds),
          scope: 'manage:drawbridge_users manage:drawbridge_repositories manage:drawbridge_tags',
          jwt: { sign: { alg: Object.fromEntries(clients)[client.clientId] } },
        }),
      },
    },
  })
  server.on('request', provider.callback())
  console.log(issuer)
})
process.stdin.on('end', () => process.exit()).resume()
";

/// A running provider, ended with this.
#[derive(Debug)]
pub struct OidcProvider {
    child: Child,
    issuer: String,
    seconds: u64,
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl OidcProvider {
    /// Starts a provider whose access tokens are good for so many seconds; `None` if it is not installed, which the named test
    /// then says on standard error.
    ///
    /// # Errors
    /// If it does not do what it should.
    pub fn start(seconds: u64, test: &str) -> std::io::Result<Option<Self>> {
        let Some(module) = find() else {
            eprintln!(
                "SKIP {test}: oidc-provider is not installed (npm oidc-provider 9, its node_modules/.bin in PATH)"
            );
            return Ok(None);
        };
        let (child, issuer) = spawn(&module, "0", seconds)?;
        Ok(Some(Self { child, issuer, seconds }))
    }

    /// Ends it and starts it again at the same place, with new keys and nothing remembered.
    ///
    /// # Errors
    /// If it does not do what it should.
    pub fn restart(&mut self) -> std::io::Result<()> {
        self.stop()?;
        let port = self.issuer.rsplit(':').next().unwrap_or_default().to_owned();
        let module = find().ok_or_else(|| std::io::Error::other("oidc-provider is gone"))?;
        (self.child, _) = spawn(&module, &port, self.seconds)?;
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn stop(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Its URL.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

/// The module: beside the programs that npm installed, `node_modules/.bin` in `PATH`.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .filter(|directory| directory.ends_with("node_modules/.bin"))
        .map(|directory| directory.with_file_name("oidc-provider/lib/index.js"))
        .find(|file| file.is_file())
}

fn spawn(module: &std::path::Path, port: &str, seconds: u64) -> std::io::Result<(Child, String)> {
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", PROGRAM]).arg(module);
    command.args([port, &seconds.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| std::io::Error::other("no output"))?;
    let stderr = child.stderr.take().ok_or_else(|| std::io::Error::other("no output"))?;
    let mut lines = BufReader::new(stdout).lines();
    let Some(issuer) = lines.next().transpose()? else {
        let mut why = String::new();
        BufReader::new(stderr).read_to_string(&mut why)?;
        return Err(std::io::Error::other(why));
    };
    // What it says is read, or it would stop at a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    std::thread::spawn(move || BufReader::new(stderr).lines().for_each(drop));
    Ok((child, issuer))
}
