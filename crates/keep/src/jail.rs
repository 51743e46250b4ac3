// SPDX-License-Identifier: Apache-2.0

//! How far a Keep can be jailed on this machine.

use std::sync::OnceLock;
use std::{fs, io};

use nix::libc::{self, c_int, c_uint, rlimit64};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{Uid, getegid, geteuid, getpid};

use crate::sys::{self, Jail, Maps, Step};
use crate::{Error, filter};

/// The unprivileged user and group that a loader run by root makes of the Keep.
const NOBODY: u32 = 65_534;
/// What the Keep takes itself for in a user namespace of its own.
const INNER: u32 = 1000;
/// Most descriptors of a Keep: as many as `[limits]` allows, and the runtime's own.
const DESCRIPTORS_MAX: u64 = 2 * 65_536 + 1024;
/// Most threads of a Keep. Counted only in a user namespace of its own; elsewhere the user's other processes would count.
const THREADS_MAX: u64 = 4096;

/// Namespaces that keep other processes' things out of reach. The network is the host's: a Keep listens there.
const ALL: c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;

/// A way to be confined by namespaces and users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// Root becomes nobody.
    pub(crate) drop_root: bool,
    /// In a user namespace of its own.
    pub(crate) user_namespace: bool,
    /// The other namespaces, `CLONE_NEW…`.
    pub(crate) namespaces: c_int,
}

impl Confinement {
    /// Whether the host's files are out of reach even without the system call filter.
    pub(crate) const fn without_files(self) -> bool {
        self.namespaces & libc::CLONE_NEWNS != 0
    }

    /// In words.
    pub(crate) fn describe(self) -> String {
        let mut parts = Vec::new();
        if self.drop_root {
            parts.push("unprivileged user");
        }
        if self.user_namespace {
            parts.push("user namespace");
        }
        for (flag, name) in [
            (libc::CLONE_NEWNS, "empty file system"),
            (libc::CLONE_NEWIPC, "IPC namespace"),
            (libc::CLONE_NEWUTS, "UTS namespace"),
            (libc::CLONE_NEWCGROUP, "cgroup namespace"),
        ] {
            if self.namespaces & flag != 0 {
                parts.push(name);
            }
        }
        if parts.is_empty() { "none".into() } else { parts.join(", ") }
    }
}

/// The closest confinement that this machine allows to this user, found out once by trying, and why not a closer one.
pub(crate) fn confinement() -> &'static (Confinement, Option<&'static str>) {
    static FOUND: OnceLock<(Confinement, Option<&'static str>)> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut failed = None;
        for candidate in candidates(geteuid()) {
            match jail(candidate, Vec::new()).and_then(|mut jail| sys::probe(&mut jail)) {
                Ok(None) => return (candidate, failed),
                Ok(Some(step)) => failed = failed.or(Some(step.describe())),
                Err(_) => failed = failed.or(Some("start a process")),
            }
        }
        (Confinement { drop_root: false, user_namespace: false, namespaces: 0 }, failed)
    })
}

/// What to try, the closest first.
fn candidates(user: Uid) -> Vec<Confinement> {
    let mut candidates = Vec::new();
    let drops: &[bool] = if user.is_root() { &[true, false] } else { &[false] };
    for drop_root in drops.iter().copied() {
        for namespaces in [ALL, libc::CLONE_NEWNS] {
            candidates.push(Confinement { drop_root, user_namespace: true, namespaces });
        }
        if user.is_root() {
            candidates.push(Confinement {
                drop_root,
                user_namespace: false,
                namespaces: libc::CLONE_NEWNS,
            });
        }
        candidates.push(Confinement { drop_root, user_namespace: false, namespaces: 0 });
    }
    candidates
}

/// Whether this process can trace one that cannot be looked into by others of the same user, as simulated evidence needs.
///
/// So can the owner of its user namespace, and one with CAP_SYS_PTRACE (which root lacks in most containers).
pub(crate) fn sees_hidden_processes() -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .unwrap_or(0);
    let (confinement, _) = confinement();
    capabilities >> CAP_SYS_PTRACE & 1 == 1 || confinement.user_namespace && !confinement.drop_root
}

/// The jail of a Keep.
///
/// # Errors
/// The host's kernel does not tell its limits; or a mistake in the filters, which a test would show.
pub(crate) fn of_keep(simulate: bool) -> Result<Jail, Error> {
    let filters = filter::programs(simulate).map_err(|error| Error::Start {
        step: Step::Filters.describe(),
        source: io::Error::other(error),
    })?;
    jail(confinement().0, filters)
        .map_err(|source| Error::Start { step: Step::Limits.describe(), source })
}

fn jail(confinement: Confinement, filters: Vec<seccompiler::BpfProgram>) -> io::Result<Jail> {
    let Confinement { drop_root, user_namespace, namespaces } = confinement;
    let (user, group) =
        if drop_root { (NOBODY, NOBODY) } else { (geteuid().as_raw(), getegid().as_raw()) };
    let mut limits =
        vec![(libc::RLIMIT_CORE, 0), (libc::RLIMIT_MEMLOCK, 0), (libc::RLIMIT_MSGQUEUE, 0)];
    let (_, descriptors) = getrlimit(Resource::RLIMIT_NOFILE)?;
    limits.push((libc::RLIMIT_NOFILE, descriptors.min(DESCRIPTORS_MAX)));
    if user_namespace {
        let (_, threads) = getrlimit(Resource::RLIMIT_NPROC)?;
        limits.push((libc::RLIMIT_NPROC, threads.min(THREADS_MAX)));
    }
    let limit = |(resource, value): (c_uint, u64)| {
        (resource, rlimit64 { rlim_cur: value, rlim_max: value })
    };
    Ok(Jail {
        parent: getpid().as_raw(),
        become_user: drop_root.then_some((user, group)),
        namespaces: namespaces | if user_namespace { libc::CLONE_NEWUSER } else { 0 },
        maps: user_namespace.then(|| Maps {
            users: format!("{INNER} {user} 1"),
            groups: format!("{INNER} {group} 1"),
        }),
        limits: limits.into_iter().map(limit).collect(),
        filters,
    })
}
