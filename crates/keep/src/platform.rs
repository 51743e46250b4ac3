// SPDX-License-Identifier: Apache-2.0

//! What this machine has for Keeps, what is missing, and how to mend it. Nothing here is guessed: each check tries or reads
//! what it talks about.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::libc;
use serde::{Deserialize, Serialize};

use crate::{backend, jail, sys, trace};

pub(crate) const NIL_INSTEAD: &str =
    "use --backend nil, for development together with --simulate snp";

/// One backend, on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendInfo {
    /// `sgx`, `snp`, `cvm`, `kvm` or `nil`.
    pub name: String,
    /// Whether a Keep can be started with it.
    pub available: bool,
    /// Whether such a Keep can prove what it is, by real silicon.
    pub can_attest: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it is as it should be.
    pub pass: bool,
    /// Whether the backend is unavailable without it.
    pub required: bool,
    /// What was found.
    pub info: String,
    /// How to mend it, if it is not as it should be.
    pub hint: Option<String>,
}

/// All backends, the best protection first.
pub fn info() -> Vec<BackendInfo> {
    backend::backends().iter().map(|backend| backend.info()).collect()
}

fn check(name: &str, required: bool, found: Result<String, (String, &str)>) -> Check {
    let (pass, info, hint) = match found {
        Ok(info) => (true, info, None),
        Err((info, hint)) => (false, info, Some(hint.to_owned())),
    };
    Check { name: name.to_owned(), pass, required, info, hint }
}

fn summary(name: &str, can_attest: bool, checks: Vec<Check>) -> BackendInfo {
    let available = checks.iter().all(|check| check.pass || !check.required);
    BackendInfo { name: name.to_owned(), available, can_attest: can_attest && available, checks }
}

fn not_built() -> Check {
    check("support in this version", true, Err(("it is not built yet".into(), NIL_INSTEAD)))
}

/// A device that has to be opened for reading and writing.
fn device(path: &'static str, missing: &'static str, forbidden: &'static str) -> Check {
    let found = match File::options().read(true).write(true).open(path) {
        Ok(_) => Ok("can be opened".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err((error.to_string(), forbidden))
        }
        Err(error) => Err((error.to_string(), missing)),
    };
    check(path, true, found)
}

/// A flag of the processor, as the kernel sees it.
fn flag(flags: &[&str], hint: &'static str) -> Check {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let present = text
        .lines()
        .find_map(|line| line.strip_prefix("flags")?.split_once(':'))
        .and_then(|(_, line)| {
            line.split_whitespace().find(|flag| flags.contains(flag)).map(str::to_owned)
        });
    let found = present.ok_or(("the kernel sees none of it".to_owned(), hint));
    check(&format!("processor: {}", flags.join(" or ")), true, found)
}

/// Intel SGX.
pub(crate) fn sgx() -> BackendInfo {
    const BIOS: &str = "needs an Intel server processor with SGX, enabled in the firmware";
    let checks = vec![
        flag(&["sgx"], BIOS),
        device("/dev/sgx_enclave", BIOS, "join the group that owns it, often sgx"),
        not_built(),
    ];
    summary("sgx", true, checks)
}

/// AMD SEV-SNP, on the bare machine.
pub(crate) fn snp() -> BackendInfo {
    const BIOS: &str =
        "needs an AMD EPYC 7003 or later with SNP enabled in the firmware, and Linux 6.11 or later";
    let checks = vec![
        flag(&["sev_snp"], BIOS),
        device("/dev/kvm", BIOS, "join the group kvm"),
        device("/dev/sev", BIOS, "join the group that owns it, often kvm"),
        not_built(),
    ];
    summary("snp", true, checks)
}

/// A confidential virtual machine that a cloud already started.
pub(crate) fn cvm() -> BackendInfo {
    const CLOUD: &str = "needs a virtual machine of a type that the cloud calls confidential";
    let checks = vec![
        device("/dev/sev-guest", CLOUD, "join the group that owns it, or run as root"),
        not_built(),
    ];
    summary("cvm", true, checks)
}

/// An ordinary virtual machine of our own: isolation, no evidence.
pub(crate) fn kvm() -> BackendInfo {
    const FIRMWARE: &str =
        "enable virtualisation in the firmware (or nested, in a virtual machine), and load kvm";
    let checks = vec![
        flag(&["svm", "vmx"], FIRMWARE),
        device("/dev/kvm", FIRMWARE, "join the group kvm"),
        not_built(),
    ];
    summary("kvm", false, checks)
}

/// A jailed process.
pub(crate) fn nil() -> BackendInfo {
    let checks = vec![memory(), filters(), confinement(), hidden(), landlock(), tracing()];
    summary("nil", false, checks)
}

fn memory() -> Check {
    let exe = Path::new("/proc/self/exe");
    let found = crate::Image::read(exe).map(|_| "works".to_owned());
    check(
        "program in sealed memory",
        true,
        found.map_err(|error| (error.to_string(), "needs Linux 5.9 or later, and /proc")),
    )
}

fn filters() -> Check {
    let verdicts = [libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_TRACE];
    let found = if verdicts.into_iter().all(sys::knows_verdict) {
        Ok("works".to_owned())
    } else {
        Err(("the kernel has none".to_owned(), "needs a kernel with CONFIG_SECCOMP_FILTER"))
    };
    check("system call filter", true, found)
}

fn confinement() -> Check {
    let (confinement, failed) = jail::confinement();
    let found = match failed {
        None => Ok(confinement.describe()),
        Some(step) => Err((
            format!("{} (could not {step})", confinement.describe()),
            if confinement.without_files() {
                "the rest of the jail stays as it is"
            } else {
                "Keeps start, with the system call filter as their only wall: allow unprivileged user namespaces \
                 (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
            },
        )),
    };
    check("namespaces", false, found)
}

fn hidden() -> Check {
    let found = if jail::sees_hidden_processes() {
        Ok("no core dumps, not open to others of the same user".to_owned())
    } else {
        Err((
            "off, since --simulate could not trace it".to_owned(),
            "run as an unprivileged user with user namespaces, or as root with CAP_SYS_PTRACE",
        ))
    };
    check("hidden process", false, found)
}

fn landlock() -> Check {
    let found = sys::landlock_version().map(|version| format!("version {version}, not needed"));
    check(
        "Landlock",
        false,
        found.ok_or((
            "the kernel has none, which is not needed".to_owned(),
            "nothing to do: namespaces and the system call filter do its work",
        )),
    )
}

fn tracing() -> Check {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
    let yama = scope
        .map_or("no Yama".to_owned(), |scope| format!("Yama's ptrace_scope is {}", scope.trim()));
    let found = match trace::probe() {
        Ok(()) => Ok(format!("works ({yama})")),
        Err(error) => Err((
            format!("{error} ({yama})"),
            "--simulate needs it: set kernel.yama.ptrace_scope to at most 1; in a container, allow ptrace",
        )),
    };
    check("tracing of own children (for --simulate)", false, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backend_says_what_it_found() {
        let all = info();
        let names: Vec<&str> = all.iter().map(|info| info.name.as_str()).collect();
        assert_eq!(names, ["sgx", "snp", "cvm", "kvm", "nil"]);
        for info in &all {
            for check in &info.checks {
                assert_eq!(check.hint.is_none(), check.pass, "{}: {check:?}", info.name);
                assert!(!check.info.is_empty());
            }
        }
        let nil = all.last().unwrap();
        assert!(nil.available && !nil.can_attest, "{nil:?}");
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Vec<BackendInfo>>(&json).unwrap(), all);
    }

    #[test]
    fn what_is_not_built_is_not_available() {
        for info in [sgx(), snp(), cvm(), kvm()] {
            assert!(!info.available && !info.can_attest, "{info:?}");
            assert!(info.checks.iter().any(|check| check.info.contains("not built")));
        }
    }
}
