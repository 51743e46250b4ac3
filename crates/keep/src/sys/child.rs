// SPDX-License-Identifier: Apache-2.0

//! The child between fork and exec.
//!
//! The loader has many threads, of which the child inherits one and the locks of all. So nothing here allocates, locks or
//! panics: everything is prepared by the parent, and each step is a bare system call. Which step failed goes back over
//! [`CONTROL_FD`].

use std::io;
use std::os::fd::RawFd;
use std::ptr;

use nix::libc::{self, c_int, c_uint, c_ulong, gid_t, pid_t, rlimit64, uid_t};
use seccompiler::BpfProgram;

use crate::filter::OWN_PID;

/// Number of the program's descriptor in the child, until it is executed.
pub(crate) const EXEC_FD: c_int = 4;
/// Number of the descriptor over which the child waits for its start and tells of failures, until it executes the program.
pub(crate) const CONTROL_FD: c_int = 5;
/// How many descriptors the child gets: 0, 1, 2, the link, [`EXEC_FD`] and [`CONTROL_FD`].
pub(crate) const HANDED: usize = 6;
/// Lowest number that none of them has.
pub(crate) const FIRST_FREE_FD: c_int = 16;

/// What the child does to itself before it becomes the Keep.
#[derive(Debug)]
pub(crate) struct Jail {
    /// The loader's process.
    pub(crate) parent: pid_t,
    /// The user and group to become.
    pub(crate) become_user: Option<(uid_t, gid_t)>,
    /// `CLONE_NEW…` flags of the namespaces to enter.
    pub(crate) namespaces: c_int,
    /// How to map users in a user namespace of its own.
    pub(crate) maps: Option<Maps>,
    /// Limits to set.
    pub(crate) limits: Vec<(c_uint, rlimit64)>,
    /// System call filters to install, in this order.
    pub(crate) filters: Vec<BpfProgram>,
}

/// Contents of `/proc/self/uid_map` and `gid_map`.
#[derive(Debug)]
pub(crate) struct Maps {
    pub(crate) users: String,
    pub(crate) groups: String,
}

/// A step of the child, for telling which one failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Descriptors = 1,
    Session,
    User,
    Namespaces,
    UserMaps,
    Root,
    Limits,
    Capabilities,
    ParentDeath,
    Filters,
    Exec,
}

impl Step {
    const ALL: [Self; 11] = [
        Self::Descriptors,
        Self::Session,
        Self::User,
        Self::Namespaces,
        Self::UserMaps,
        Self::Root,
        Self::Limits,
        Self::Capabilities,
        Self::ParentDeath,
        Self::Filters,
        Self::Exec,
    ];

    /// The step of this number.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u8 == number)
    }

    /// What was to be done.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Descriptors => "hand over descriptors",
            Self::Session => "start a session",
            Self::User => "become an unprivileged user",
            Self::Namespaces => "enter namespaces",
            Self::UserMaps => "map its user",
            Self::Root => "take away the file system",
            Self::Limits => "set resource limits",
            Self::Capabilities => "drop capabilities",
            Self::ParentDeath => "tie it to the loader's life",
            Self::Filters => "install the system call filters",
            Self::Exec => "execute its program",
        }
    }
}

type Failure = (Step, c_int);

/// Forks. The child waits for a byte on its end of the control socket, jails itself and executes the program; if it cannot,
/// it writes a step's number and an errno (five bytes, native order) and exits.
///
/// `descriptors` become 0 to 5 in the child; all of them have numbers of at least [`FIRST_FREE_FD`].
pub(crate) fn spawn(jail: &mut Jail, descriptors: [RawFd; HANDED]) -> io::Result<pid_t> {
    fork(|| {
        let (step, errno) = become_keep(jail, descriptors);
        let [a, b, c, d] = errno.to_ne_bytes();
        let message = [step as u8, a, b, c, d];
        // SAFETY: the buffer outlives the call. If it fails, the loader sees the exit code.
        unsafe { libc::write(CONTROL_FD, message.as_ptr().cast(), message.len()) };
        126
    })
}

/// Tries in a process made for that whether a child can confine itself like this; the step that fails, if one does.
pub(crate) fn probe(jail: &mut Jail) -> io::Result<Option<Step>> {
    let pid = fork(|| match confine(jail) {
        Ok(()) => 0,
        Err((step, _)) => step as c_int,
    })?;
    let (_, status) = super::wait(pid)?;
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
        return Ok(None);
    }
    let step = u8::try_from(libc::WEXITSTATUS(status)).ok().and_then(Step::from_number);
    Ok(Some(step.unwrap_or(Step::Namespaces)))
}

/// A child that does nothing but wait for its end.
pub(crate) fn idle() -> io::Result<pid_t> {
    fork(|| {
        // SAFETY: no arguments. Also ends if the loader's thread does.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong, 0, 0, 0);
            libc::pause()
        }
    })
}

/// Forks a child that runs `run`, which must make system calls only, and exits with the code it returns.
fn fork(run: impl FnOnce() -> c_int) -> io::Result<pid_t> {
    // A handler of the loader's must not run in the child.
    // SAFETY: both sets are plain memory that the calls fill in.
    let old = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut old: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut old);
        old
    };
    // SAFETY: the child only runs `run`, which neither allocates nor locks, and never returns from here.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = run();
        // SAFETY: ends this process without running anything of the parent's.
        unsafe { libc::_exit(code) };
    }
    let result = if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) };
    // SAFETY: `old` was filled in above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const old, ptr::null_mut()) };
    result
}

/// Returns only if something fails.
fn become_keep(jail: &mut Jail, descriptors: [RawFd; HANDED]) -> Failure {
    match arrange(descriptors).and_then(|()| confine(jail)).and_then(|()| install(jail)) {
        Ok(()) => (Step::Exec, execute()),
        Err(failure) => failure,
    }
}

fn errno() -> c_int {
    // SAFETY: the C library gives each thread a valid place for its errno.
    unsafe { *libc::__errno_location() }
}

/// An error in `step` unless `result` is a success.
fn ok(step: Step, result: impl Into<i64>) -> Result<(), Failure> {
    if result.into() < 0 { Err((step, errno())) } else { Ok(()) }
}

/// Puts the descriptors where the Keep expects them, closes all others, and waits for the start.
fn arrange(descriptors: [RawFd; HANDED]) -> Result<(), Failure> {
    let step = Step::Descriptors;
    let mut number = 0;
    for from in descriptors {
        let flags = if number >= EXEC_FD { libc::O_CLOEXEC } else { 0 };
        // SAFETY: integers only. The sources have higher numbers than all targets, so that none is overwritten.
        ok(step, unsafe { libc::dup3(from, number, flags) })?;
        number += 1;
    }
    // SAFETY: integers only; what is closed belongs to this process, which uses none of it.
    ok(step, unsafe { libc::syscall(libc::SYS_close_range, number, c_uint::MAX, 0) })?;
    let mut byte = 0_u8;
    loop {
        // SAFETY: the kernel writes one byte into `byte`.
        match unsafe { libc::read(CONTROL_FD, (&raw mut byte).cast(), 1) } {
            1 => return Ok(()),
            // The loader is gone.
            0 => return Err((step, libc::EPIPE)),
            _ if errno() == libc::EINTR => {}
            _ => return Err((step, errno())),
        }
    }
}

/// Gives up everything that the host's kernel lets it give up, but for system calls.
fn confine(jail: &Jail) -> Result<(), Failure> {
    // A session of its own: no terminal to push input into, no signals from its keys.
    // SAFETY: no arguments.
    ok(Step::Session, unsafe { libc::setsid() })?;
    // SAFETY: no memory is involved.
    unsafe { libc::umask(0o777) };
    if jail.maps.is_some() {
        // Unprivileged first, so that the namespace belongs to nobody that matters.
        become_user(jail)?;
        enter(jail)?;
    } else {
        enter(jail)?;
        become_user(jail)?;
    }
    for (resource, limit) in &jail.limits {
        let none = ptr::null_mut();
        // SAFETY: `limit` is a valid limit, read by the kernel; the old one is not asked for.
        ok(Step::Limits, unsafe { libc::prlimit64(0, *resource, limit, none) })?;
    }
    drop_capabilities()?;
    // After all changes of user, since each of them clears it.
    prctl(Step::ParentDeath, libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong)?;
    // SAFETY: no arguments.
    if unsafe { libc::getppid() } != jail.parent {
        return Err((Step::ParentDeath, libc::ESRCH));
    }
    prctl(Step::Filters, libc::PR_SET_NO_NEW_PRIVS, 1)
}

fn prctl(step: Step, option: c_int, value: c_ulong) -> Result<(), Failure> {
    let zero: c_ulong = 0;
    // SAFETY: the options used here take integers.
    ok(step, unsafe { libc::prctl(option, value, zero, zero, zero) })
}

fn become_user(jail: &Jail) -> Result<(), Failure> {
    let step = Step::User;
    let Some((user, group)) = jail.become_user else {
        return Ok(());
    };
    // The C library's wrappers would change all threads of the loader's; the bare calls change this one, the only one.
    // SAFETY: an empty list of groups needs no memory; the rest are integers.
    unsafe {
        ok(step, libc::syscall(libc::SYS_setgroups, 0, ptr::null::<gid_t>()))?;
        ok(step, libc::syscall(libc::SYS_setresgid, group, group, group))?;
        ok(step, libc::syscall(libc::SYS_setresuid, user, user, user))?;
    }
    // The kernel now takes this process for one with secrets of another user; it would not own its files in /proc.
    prctl(step, libc::PR_SET_DUMPABLE, 1)
}

fn enter(jail: &Jail) -> Result<(), Failure> {
    if jail.namespaces == 0 {
        return Ok(());
    }
    // SAFETY: integers only.
    ok(Step::Namespaces, unsafe { libc::unshare(jail.namespaces) })?;
    if let Some(maps) = &jail.maps {
        write_file(c"/proc/self/setgroups".as_ptr(), b"deny")?;
        write_file(c"/proc/self/gid_map".as_ptr(), maps.groups.as_bytes())?;
        write_file(c"/proc/self/uid_map".as_ptr(), maps.users.as_bytes())?;
    }
    if jail.namespaces & libc::CLONE_NEWNS == 0 {
        return Ok(());
    }
    lose_files()
}

fn write_file(path: *const libc::c_char, content: &[u8]) -> Result<(), Failure> {
    // SAFETY: `path` is a string literal with its NUL; `content` is valid for its length.
    unsafe {
        let file = libc::open(path, libc::O_WRONLY | libc::O_CLOEXEC);
        ok(Step::UserMaps, file)?;
        let written = libc::write(file, content.as_ptr().cast(), content.len());
        let result = ok(Step::UserMaps, written as i64);
        libc::close(file);
        result
    }
}

/// Makes an empty file system that cannot be written the only one.
fn lose_files() -> Result<(), Failure> {
    let step = Step::Root;
    let root = c"/".as_ptr();
    // Covered by the new file system, and gone with the old one.
    let place = c"/proc".as_ptr();
    let here = c".".as_ptr();
    let none = ptr::null();
    let closed = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: all strings are literals with their NUL; null stands where the kernel takes nothing.
    unsafe {
        ok(step, libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, ptr::null()))?;
        let tmpfs = c"tmpfs".as_ptr();
        let options = c"mode=0555,size=4k,nr_inodes=1".as_ptr();
        ok(step, libc::mount(tmpfs, place, tmpfs, closed, options.cast()))?;
        ok(step, libc::chdir(place))?;
        if libc::syscall(libc::SYS_pivot_root, here, here) == 0 {
            ok(step, libc::umount2(here, libc::MNT_DETACH))?;
        } else {
            // The machine runs from its initial RAM disk, which cannot be pivoted away.
            ok(step, libc::chroot(here))?;
        }
        ok(step, libc::chdir(root))?;
        let frozen = closed | libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
        ok(step, libc::mount(none, root, none, frozen, ptr::null()))
    }
}

fn drop_capabilities() -> Result<(), Failure> {
    const VERSION_3: u32 = 0x2008_0522;
    // Not to be had back by executing anything. Fails for one who may not, and for numbers beyond the last capability.
    for capability in 0..64 {
        let _ = prctl(Step::Capabilities, libc::PR_CAPBSET_DROP, capability);
    }
    // `struct __user_cap_header_struct { version, pid }` and three sets of 64 bits, all empty.
    let header = [VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: both arrays have the layout and size that this version of the interface says, and are only read.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    ok(Step::Capabilities, result)
}

/// Default signals, and the system call filters.
fn install(jail: &mut Jail) -> Result<(), Failure> {
    let step = Step::Filters;
    // SAFETY: a zeroed action is SIG_DFL; for the signals that cannot be changed the call fails, which is fine.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        let mut ignored = default;
        ignored.sa_sigaction = libc::SIG_IGN;
        for signal in 1..=64 {
            // Ignoring a signal forgets one that was sent to the loader's group while all were blocked here.
            libc::sigaction(signal, &raw const ignored, ptr::null_mut());
            libc::sigaction(signal, &raw const default, ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
    // SAFETY: no arguments.
    let own = unsafe { libc::getpid() };
    for program in &mut jail.filters {
        for instruction in program.iter_mut() {
            if instruction.k == OWN_PID {
                instruction.k = own.cast_unsigned();
            }
        }
        let Ok(len) = u16::try_from(program.len()) else {
            return Err((step, libc::E2BIG));
        };
        let filter = libc::sock_fprog { len, filter: program.as_mut_ptr().cast() };
        // SAFETY: `filter` describes `program`, whose instructions have the layout of the kernel's; it is only read.
        ok(step, unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter)
        })?;
    }
    Ok(())
}

/// Becomes the program, with its name as only argument and nothing in its environment. Returns the errno if it cannot.
fn execute() -> c_int {
    let arguments = [c"enarx-exec".as_ptr(), ptr::null()];
    let environment = [ptr::null::<libc::c_char>()];
    // SAFETY: the path is an empty string; both lists are NUL-terminated strings ended by a null pointer.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            EXEC_FD,
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    errno()
}
