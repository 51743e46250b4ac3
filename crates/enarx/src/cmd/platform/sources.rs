// SPDX-License-Identifier: Apache-2.0

//! Flags of the commands that get collateral.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use clap::Args;
use types::limits;

use crate::collateral::authentic::Roots;
use crate::collateral::cache::Cache;
use crate::collateral::collect::{Ask, Collector, Sources};
use crate::collateral::fetch::{Base, Fetcher, Patience, Reach};
use crate::collateral::kds::KDS;
use crate::collateral::pcs::PCS;
use crate::failure::Failure;
use crate::{files, reach};

/// Largest file with a subscription key.
const KEY_BYTES_MAX: usize = 1024;

/// Where collateral is kept.
#[derive(Clone, Debug, Default, Args)]
pub struct CacheArgs {
    /// Directory in which collateral is kept [default: $XDG_CACHE_HOME/enarx/collateral]
    #[arg(long, value_name = "DIR", env = "ENARX_COLLATERAL")]
    pub cache_dir: Option<PathBuf>,
    /// Take what is below another root than the vendors' own: for simulated silicon, it proves nothing
    #[arg(long, env = "ENARX_INSECURE_ANY_ROOT")]
    pub insecure_any_root: bool,
    /// Take what is past its end, if there is nothing better
    #[arg(long)]
    pub accept_expired: bool,
}

/// From where, and how.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// Where it is kept.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// AMD's key distribution service, or a mirror of it
    #[arg(long, value_name = "URL", env = "ENARX_KDS", default_value = KDS, value_parser = Base::parse)]
    pub kds: Base,
    /// Intel's provisioning certification service, or a caching service (PCCS)
    #[arg(long, value_name = "URL", env = "ENARX_PCS", default_value = PCS, value_parser = Base::parse)]
    pub pcs: Base,
    /// File with the subscription key for Intel's service (PCK certificates and adding processors need one)
    #[arg(long, value_name = "FILE", env = "ENARX_PCS_KEY_FILE")]
    pub pcs_key: Option<PathBuf>,
    /// PEM file with roots to trust for reaching the sources, in place of the public Web PKI (may be repeated)
    #[arg(long, value_name = "FILE", env = "ENARX_COLLATERAL_CA", value_delimiter = ',')]
    pub ca: Vec<PathBuf>,
    /// Ask the source even for what is kept and holds
    #[arg(long)]
    pub refresh: bool,
    /// How often to ask a source that fails
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub attempts: u32,
    /// How long to try for one piece, pauses included
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Allow http in place of https in --kds and --pcs, to this machine only
    #[arg(long, env = "ENARX_INSECURE_PLAIN_HTTP")]
    pub insecure_plain_http: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl CacheArgs {
    /// The cache.
    ///
    /// # Errors
    /// If neither flag nor environment say where it is.
    pub fn cache(&self) -> Result<Cache, Failure> {
        self.cache_dir.as_deref().map_or_else(Cache::of_user, |directory| Ok(Cache::at(directory)))
    }

    /// Whose roots are taken.
    pub const fn roots(&self) -> Roots {
        if self.insecure_any_root { Roots::Any } else { Roots::Vendors }
    }
}

impl SourceArgs {
    /// Who gets collateral as these flags say.
    ///
    /// # Errors
    /// If a file cannot be read, or roots or proxy cannot be used.
    pub fn collector(&self) -> Result<Collector, Failure> {
        let mut roots_pem = String::new();
        for path in &self.ca {
            let text = files::read_text(path, limits::POLICY_BYTES_MAX)
                .map_err(|failure| failure.next("check --ca (ENARX_COLLATERAL_CA)"))?;
            roots_pem.push_str(&text);
            roots_pem.push('\n');
        }
        let key = match &self.pcs_key {
            None => None,
            Some(path) => Some(key(path)?),
        };
        let total = Duration::from_secs(self.timeout);
        let reach = Reach {
            roots_pem,
            plain: self.insecure_plain_http,
            patience: Patience { attempts: self.attempts, total },
        };
        Ok(Collector {
            cache: self.cache.cache()?,
            fetcher: Fetcher::new(&reach)?,
            sources: Sources { kds: self.kds.clone(), pcs: self.pcs.clone(), key },
            roots: self.cache.roots(),
            accept_expired: self.cache.accept_expired,
            now: reach::now(),
            down: Mutex::default(),
        })
    }

    /// When to ask, for a command about one piece.
    pub const fn ask(&self) -> Ask {
        if self.refresh { Ask::Always } else { Ask::IfNeeded }
    }
}

fn key(path: &std::path::Path) -> Result<String, Failure> {
    let text = files::read_text(path, KEY_BYTES_MAX)?;
    let key = text.trim();
    if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(key.to_owned());
    }
    Err(Failure::new(format!("cannot use {}", path.display()))
        .why("it has no subscription key, which is one word")
        .next("check --pcs-key (ENARX_PCS_KEY_FILE)"))
}
