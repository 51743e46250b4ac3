// SPDX-License-Identifier: Apache-2.0

//! `enarx user`: who one is, at a registry.

use clap::{Args, Subcommand};
use serde_json::json;
use types::slug::{valid_repo, valid_user};

use crate::cli::{ReachArgs, RegistryArgs};
use crate::cmd::keys::{self, KeysCommand};
use crate::failure::{EXIT_FAILED, EXIT_USAGE, Failure, Outcome};
use crate::login::{self, At, Ended, How, Prompt};
use crate::output;
use crate::reach::{self, Registry};
use crate::tokens::{self, TokenStore, check_host};

const LOGIN_EXAMPLES: &str = "\
Examples:
  enarx user login store.example.com --oidc-issuer https://id.example.com
  ENARX_OIDC_ISSUER=https://id.example.com enarx user login store.example.com
  enarx user login store.example.com --oidc-issuer https://id.example.com --device   on a machine without a browser

You agree in a browser: in the one of this machine ($BROWSER, or the desktop's) if there is one, else in any, where you type the code
that is shown here. At the issuer, this program is a public native client (no secret) with the redirect URL http://127.0.0.1/callback,
whatever the port, and with the device grant. Tokens are kept in $XDG_DATA_HOME/enarx/tokens, readable by you only, and renewed if the
issuer gives refresh tokens (offline_access).";
const REGISTER_EXAMPLES: &str = "\
Examples:
  enarx user register store.example.com/alice     (log in first)";
const LOGOUT_EXAMPLES: &str = "\
Examples:
  enarx user logout store.example.com

The tokens are removed from this machine, and the issuer is told to take them no more, if it can be told. An access token that was
copied is good until it ends.";
const WHOAMI_EXAMPLES: &str = "\
Examples:
  enarx user whoami store.example.com
  enarx user info store.example.com --json         the same by another name

The exit code is 0 if you are logged in, else 1.";

/// `enarx user …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Register a user name at a registry, for whom you are logged in as
    Register(RegisterArgs),
    /// Log in to a registry, at its OpenID issuer
    Login(LoginArgs),
    /// Give back and forget the tokens for a registry
    Logout(LogoutArgs),
    /// Say as whom you are logged in, and until when
    #[command(visible_aliases = ["info", "status"])]
    Whoami(WhoamiArgs),
    /// Public keys that sign your packages
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// Arguments of `enarx user login`.
#[derive(Debug, Args)]
#[command(after_help = LOGIN_EXAMPLES)]
pub struct LoginArgs {
    /// Registry: its host, with its port where that is not 443
    #[arg(env = "ENARX_HOST", value_name = "HOST")]
    pub host: String,
    /// URL of the OpenID issuer that the registry trusts
    #[arg(long, value_name = "URL", env = "ENARX_OIDC_ISSUER")]
    pub oidc_issuer: String,
    /// Identifier of this program at the issuer
    #[arg(long, value_name = "ID", default_value = "enarx-cli", env = "ENARX_OIDC_CLIENT_ID")]
    pub oidc_client_id: String,
    /// For whom the token is to be, as the registry's operator says [default: https://HOST/]
    #[arg(long, value_name = "AUDIENCE", env = "ENARX_OIDC_AUDIENCE")]
    pub oidc_audience: Option<String>,
    /// Agree in a browser on any machine, where you type a code
    #[arg(long, conflicts_with = "browser")]
    pub device: bool,
    /// Agree in a browser on this machine; the URL is printed as well
    #[arg(long)]
    pub browser: bool,
    /// How to reach it.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Arguments of `enarx user register`.
#[derive(Debug, Args)]
#[command(after_help = REGISTER_EXAMPLES)]
pub struct RegisterArgs {
    /// Registry and user: host/user
    #[arg(value_name = "HOST/USER")]
    pub name: String,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx user logout`.
#[derive(Debug, Args)]
#[command(after_help = LOGOUT_EXAMPLES)]
pub struct LogoutArgs {
    /// Registry: its host, with its port where that is not 443
    #[arg(env = "ENARX_HOST", value_name = "HOST")]
    pub host: String,
    /// How to reach the issuer.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Arguments of `enarx user whoami`.
#[derive(Debug, Args)]
#[command(after_help = WHOAMI_EXAMPLES)]
pub struct WhoamiArgs {
    /// Registry: its host, with its port where that is not 443
    #[arg(env = "ENARX_HOST", value_name = "HOST")]
    pub host: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// What the registry or the issuer says.
pub fn run(command: &UserCommand) -> Outcome {
    let store = TokenStore::of_user()?;
    match command {
        UserCommand::Login(args) => {
            login(args, &store)?;
            let host = &args.host;
            output::talk(&format!(
                "logged in to {host}; new there? `enarx user register {host}/NAME`"
            ));
        }
        UserCommand::Register(args) => {
            let name = UserName::parse(&args.name)?;
            register(&Registry::open(&name.host, &args.registry, &store)?, &name.user)?;
            output::talk(&format!(
                "registered {}; next: `enarx repo register {}/REPO`",
                args.name, args.name
            ));
        }
        UserCommand::Logout(args) => {
            let agent = reach::agent(&args.reach)?;
            let host = &args.host;
            output::talk(&match login::logout(&agent, &store, host)? {
                Ended::Never => format!("not logged in to {host}"),
                Ended::Here => format!("logged out of {host}"),
                Ended::Everywhere => format!("logged out of {host}, and the tokens were revoked"),
                Ended::Untold(failure) => format!(
                    "logged out of {host}; but the issuer may still take the tokens: {failure}"
                ),
            });
        }
        UserCommand::Whoami(args) => return whoami(args, &store),
        UserCommand::Keys(command) => return keys::run(command, &store),
    }
    Ok(0)
}

fn login(args: &LoginArgs, store: &TokenStore) -> Result<(), Failure> {
    let agent = reach::agent(&args.reach)?;
    let at = At {
        host: &args.host,
        issuer: &args.oidc_issuer,
        client_id: &args.oidc_client_id,
        audience: args.oidc_audience.as_deref(),
    };
    let how = match (args.browser, args.device) {
        (true, _) => How::Browser,
        (false, true) => How::Device,
        (false, false) => How::Whichever,
    };
    login::login(&agent, at, how, store, &mut |prompt| show(&prompt)).map(drop)
}

fn show(prompt: &Prompt<'_>) {
    let style = output::stderr_style();
    match prompt {
        Prompt::Device(device) => {
            let page = device.verification_uri_complete.as_deref();
            let page = page.unwrap_or(&device.verification_uri);
            output::talk(&format!("open {}", style.bold(page)));
            let code = style.bold(&device.user_code);
            output::talk(&format!("and check that it shows the code {code}"));
        }
        Prompt::Browser { url, shown } => {
            let open = if *shown { "your browser shows" } else { "open in a browser here:" };
            output::talk(&format!("{open} {}", style.bold(url)));
        }
    }
}

/// Registers `user` for the bearer of the registry's token.
///
/// # Errors
/// What the registry says; if the token does not say whom it is for.
pub fn register(registry: &Registry, user: &str) -> Result<(), Failure> {
    let token = registry.token()?;
    let subject = tokens::claims(token)?.sub.ok_or_else(|| {
        Failure::new("cannot tell whom the token is for")
            .why("it has no subject")
            .next("have the issuer put `sub` into its access tokens")
    })?;
    registry.user_put(user, &subject)
}

fn whoami(args: &WhoamiArgs, store: &TokenStore) -> Outcome {
    check_host(&args.host)?;
    let token = match store.valid(&args.host, reach::now()) {
        Ok(token) => token,
        Err(failure) if args.json => {
            output::json(&json!({"host": args.host, "logged_in": false, "why": failure.why}))?;
            return Ok(EXIT_FAILED);
        }
        Err(failure) => return Err(failure),
    };
    // An opaque token is as good; it only says less.
    let claims = tokens::claims(&token.access_token).unwrap_or_default();
    if args.json {
        output::json(
            &json!({"host": args.host, "logged_in": true, "issuer": token.issuer, "subject": claims.sub,
            "scope": claims.scope, "expires": token.expires, "renews": token.refresh.is_some()}),
        )?;
        return Ok(0);
    }
    let then = if token.refresh.is_some() { "renewed by itself" } else { "log in again" };
    let rows = [
        ("registry", args.host.clone()),
        ("subject", claims.sub.unwrap_or_else(|| "known to the issuer only".into())),
        ("issuer", token.issuer),
        ("may", claims.scope.unwrap_or_else(|| "not said".into())),
        ("until", token.expires.map_or_else(|| "not said".into(), |end| end.to_string())),
        ("then", then.to_owned()),
    ];
    output::data(&output::columns(&rows.map(|(label, value)| vec![label.to_owned(), value])))?;
    Ok(0)
}

/// `host/user`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName {
    /// Registry.
    pub host: String,
    /// User.
    pub user: String,
}

impl UserName {
    /// Reads `host/user`.
    ///
    /// # Errors
    /// If it is not that.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [host, user] if valid_user(user) => {
                check_host(host)?;
                Ok(Self { host: (*host).to_owned(), user: (*user).to_owned() })
            }
            _ => Err(Failure::new(format!("{text:?} names no user"))
                .why("wanted host/user; a user has letters and digits only")
                .next("for example store.example.com/alice")
                .code(EXIT_USAGE)),
        }
    }
}

/// `host/user/repo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoName {
    /// Registry.
    pub host: String,
    /// User.
    pub user: String,
    /// Repository.
    pub repo: String,
}

impl RepoName {
    /// Reads `host/user/repo`.
    ///
    /// # Errors
    /// If it is not that.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [host, user, repo] if valid_user(user) && valid_repo(repo) => {
                check_host(host)?;
                Ok(Self { host: (*host).to_owned(), user: (*user).to_owned(), repo: (*repo).to_owned() })
            }
            _ => Err(Failure::new(format!("{text:?} names no repository"))
                .why("wanted host/user/repo; a repository has letters, digits and - only, and no tag")
                .next("for example store.example.com/alice/app")
                .code(EXIT_USAGE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(
            UserName::parse("localhost:1/alice").unwrap(),
            UserName { host: "localhost:1".into(), user: "alice".into() }
        );
        assert_eq!(RepoName::parse("h/u/r-1").unwrap().repo, "r-1");
        for bad in ["", "alice", "h/al ice", "h/a/b", "H/a"] {
            assert!(UserName::parse(bad).is_err(), "{bad}");
        }
        for bad in ["h/u", "h/u/r:1.0.0", "h/u/r/x", "h/u/r_x"] {
            assert!(RepoName::parse(bad).is_err(), "{bad}");
        }
    }
}
