// SPDX-License-Identifier: Apache-2.0

//! The places in which a Keep can run.

use std::fmt;

use crate::platform::{self, BackendInfo};
use crate::{Error, Launch, Running, nil};

/// A place in which a Keep can run.
pub trait Backend: fmt::Debug + Sync {
    /// Its name: `sgx`, `snp`, `cvm`, `kvm` or `nil`.
    fn name(&self) -> &'static str;

    /// What this machine has for it, and what is missing. Tries things out, which takes milliseconds.
    fn info(&self) -> BackendInfo;

    /// Whether a Keep may be started right away: the backend is built and can produce evidence if it must. What
    /// else the machine lacks shows when the Keep is started.
    fn worth_starting(&self, must_attest: bool) -> bool;

    /// Starts a Keep.
    ///
    /// # Errors
    /// The machine does not allow it.
    fn start(&self, launch: Launch) -> Result<Running, Error>;
}

#[derive(Debug)]
struct Nil;

impl Backend for Nil {
    fn name(&self) -> &'static str {
        "nil"
    }

    fn info(&self) -> BackendInfo {
        platform::nil()
    }

    fn worth_starting(&self, must_attest: bool) -> bool {
        !must_attest
    }

    fn start(&self, launch: Launch) -> Result<Running, Error> {
        nil::start(launch)
    }
}

/// A backend of which this version has only the checks.
#[derive(Debug)]
struct NotBuilt {
    name: &'static str,
    info: fn() -> BackendInfo,
}

impl Backend for NotBuilt {
    fn name(&self) -> &'static str {
        self.name
    }

    fn info(&self) -> BackendInfo {
        (self.info)()
    }

    fn worth_starting(&self, _: bool) -> bool {
        false
    }

    fn start(&self, _: Launch) -> Result<Running, Error> {
        Err(Error::Unavailable {
            backend: self.name,
            missing: "it is not built yet".into(),
            hint: platform::NIL_INSTEAD.into(),
        })
    }
}

/// All backends, the best protection first.
pub fn backends() -> [&'static dyn Backend; 5] {
    [
        &NotBuilt { name: "sgx", info: platform::sgx },
        &NotBuilt { name: "snp", info: platform::snp },
        &NotBuilt { name: "cvm", info: platform::cvm },
        &NotBuilt { name: "kvm", info: platform::kvm },
        &Nil,
    ]
}

/// The backend called `name`, or else the best one that this machine has.
///
/// # Errors
/// There is none of that name, or it is not available here; with `must_attest`, it cannot produce evidence.
pub fn choose(name: Option<&str>, must_attest: bool) -> Result<&'static dyn Backend, Error> {
    let wanted = |backend: &&'static dyn Backend| name.is_none_or(|name| name == backend.name());
    let mut refused = None;
    for backend in backends().into_iter().filter(wanted) {
        if backend.worth_starting(must_attest) {
            return Ok(backend);
        }
        refused = Some(backend);
    }
    let Some(refused) = refused else {
        return Err(Error::Unavailable {
            backend: "?",
            missing: format!("there is no backend `{}`", name.unwrap_or_default().escape_debug()),
            hint: "the backends are sgx, snp, cvm, kvm and nil".into(),
        });
    };
    let (missing, hint) =
        match refused.info().checks.into_iter().find(|check| check.required && !check.pass) {
            Some(check) => (check.name + ": " + &check.info, check.hint),
            None => ("it cannot produce evidence".to_owned(), None),
        };
    Err(Error::Unavailable {
        backend: refused.name(),
        missing,
        hint: hint.unwrap_or_else(|| {
            "without hardware, use --simulate snp (for development), or --insecure-no-tee to go without evidence".into()
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nil_can_be_chosen_and_never_where_evidence_is_needed() {
        assert_eq!(choose(None, false).unwrap().name(), "nil");
        assert_eq!(choose(Some("nil"), false).unwrap().name(), "nil");
        let error = choose(None, true).unwrap_err();
        assert!(error.hint().contains("--simulate"), "{error}");
        for name in ["sgx", "snp", "cvm", "kvm"] {
            let error = choose(Some(name), false).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(choose(Some("sev"), false).unwrap_err().to_string().contains("no backend"));
    }
}
