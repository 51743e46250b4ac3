// SPDX-License-Identifier: Apache-2.0

//! What a jailed Keep may ask of the host's kernel.
//!
//! Five programs are stacked; the kernel runs all of them and takes the strictest verdict, and among refusals with an
//! error number that of the program installed last. In the order in which they are installed:
//!
//! | program | verdict |
//! |---|---|
//! | [`KILLED`] | the whole process is killed: no Keep asks for these by mistake |
//! | evidence | 0xEA01 stops for the tracer (only where evidence is simulated) |
//! | [`NO_FILE`] | ENOENT: to a Keep there is no file system |
//! | arguments | EPERM for a known call with other arguments than a Keep needs |
//! | numbers | ENOSYS for everything unknown, so that libraries fall back |
//!
//! A program for another architecture (32-bit calls) is killed by each of them.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::GET_ATTESTATION;
use crate::sys::EXEC_FD;

/// Stands in the programs where the process's own number goes, which is known only after the fork.
pub(crate) const OWN_PID: u32 = 0x7EA5_0D1D;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that end the Keep.
const KILLED: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_quotactl,
    // Keys of the host's users.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Other users.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
];

/// Calls that look for a file by its name.
const NO_FILE: &[i64] = &[
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_creat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_chdir,
    libc::SYS_getcwd,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_rename,
    libc::SYS_renameat2,
];

/// Calls that are known and never allowed; without this they would be answered as if the kernel had none such.
const NEVER: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_socketpair,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setrlimit,
    libc::SYS_setsid,
    libc::SYS_setpgid,
    libc::SYS_sched_setaffinity,
];

/// Calls that are allowed with any arguments.
const ALLOWED: &[i64] = &[
    // Descriptors that are open already.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    // Sockets; which ones there can be is decided when one is made.
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    // Memory. The compiler of WebAssembly writes code, hence PROT_EXEC.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_membarrier,
    // Threads.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    // Signals: traps of WebAssembly are among them.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Time and what one may know.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_time,
    libc::SYS_times,
    libc::SYS_getrusage,
    libc::SYS_getrandom,
    libc::SYS_getcpu,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
];

type Built<T> = Result<T, seccompiler::BackendError>;

/// The programs, in the order in which they are to be installed.
///
/// # Errors
/// None but mistakes in these tables, which a test would show.
pub(crate) fn programs(simulate: bool) -> Built<Vec<BpfProgram>> {
    use SeccompAction::{Allow, Errno, KillProcess, Trace};

    let numbers = |calls: &[i64]| -> Rules { calls.iter().map(|call| (*call, vec![])).collect() };
    let errno = |errno: i32| Errno(errno.unsigned_abs());
    let mut arguments = numbers(&[ALLOWED, NO_FILE, &[libc::SYS_seccomp]].concat());
    arguments.extend(by_arguments()?);
    let mut known: Rules = arguments.keys().map(|call| (*call, vec![])).collect();
    known.extend(numbers(NEVER));
    known.remove(&libc::SYS_seccomp);

    let mut programs = vec![compile(numbers(KILLED), Allow, KillProcess)?];
    if simulate {
        arguments.insert(GET_ATTESTATION, vec![]);
        known.insert(GET_ATTESTATION, vec![]);
        programs.push(compile(numbers(&[GET_ATTESTATION]), Allow, Trace(0))?);
    }
    programs.push(compile(numbers(NO_FILE), Allow, errno(libc::ENOENT))?);
    programs.push(compile(arguments, errno(libc::EPERM), Allow)?);
    programs.push(compile(known, errno(libc::ENOSYS), Allow)?);
    Ok(programs)
}

fn compile(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Built<BpfProgram> {
    SeccompFilter::new(rules, otherwise, matched, TargetArch::x86_64)?.try_into()
}

/// Calls that are allowed only with these arguments.
fn by_arguments() -> Built<Rules> {
    let mut rules = Rules::new();
    let mut allow = |call: i64, alternatives: Vec<Vec<SeccompCondition>>| -> Built<()> {
        for conditions in alternatives {
            rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
        }
        Ok(())
    };

    // TCP, over IPv4 or IPv6.
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for protocol in [0, libc::IPPROTO_TCP] {
            sockets.push(vec![
                equal(0, family)?,
                masked(1, 0xF, libc::SOCK_STREAM)?,
                equal(2, protocol)?,
            ]);
        }
    }
    allow(libc::SYS_socket, sockets)?;
    let mut options = Vec::new();
    for (level, names) in SOCKET_OPTIONS {
        for name in *names {
            options.push(vec![equal(1, *level)?, equal(2, *name)?]);
        }
    }
    allow(libc::SYS_setsockopt, options)?;

    // Threads, never processes.
    allow(libc::SYS_clone, vec![vec![masked(0, libc::CLONE_THREAD, libc::CLONE_THREAD)?]])?;
    // The one program, by the descriptor under which the loader handed it over, closed in the same moment.
    allow(libc::SYS_execveat, vec![vec![equal(0, EXEC_FD)?, equal(4, libc::AT_EMPTY_PATH)?]])?;
    // Signals to itself.
    let own =
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(OWN_PID))?;
    allow(libc::SYS_tgkill, vec![vec![own]])?;
    // Its own limits, and only to read them.
    allow(libc::SYS_prlimit64, vec![vec![equal(0, 0)?, zero(2)?]])?;

    allow(libc::SYS_fcntl, each(1, FCNTLS)?)?;
    allow(libc::SYS_ioctl, each(1, IOCTLS)?)?;
    allow(libc::SYS_prctl, each(0, PRCTLS)?)?;
    allow(libc::SYS_arch_prctl, each(0, ARCH_PRCTLS)?)?;
    Ok(rules)
}

const SOCKET_OPTIONS: &[(i32, &[i32])] = &[
    (
        libc::SOL_SOCKET,
        &[
            libc::SO_REUSEADDR,
            libc::SO_KEEPALIVE,
            libc::SO_LINGER,
            libc::SO_SNDBUF,
            libc::SO_RCVBUF,
            libc::SO_RCVTIMEO,
            libc::SO_SNDTIMEO,
        ],
    ),
    (
        libc::IPPROTO_TCP,
        &[
            libc::TCP_NODELAY,
            libc::TCP_KEEPIDLE,
            libc::TCP_KEEPINTVL,
            libc::TCP_KEEPCNT,
            libc::TCP_USER_TIMEOUT,
        ],
    ),
    (libc::IPPROTO_IPV6, &[libc::IPV6_V6ONLY]),
];

const FCNTLS: &[i32] = &[
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
];
/// TCGETS and TIOCGWINSZ (is this a terminal?), FIONBIO, FIONREAD. Nothing that puts bytes into a terminal.
const IOCTLS: &[i32] = &[0x5401, 0x5413, 0x5421, 0x541B];
/// Names of threads and of memory.
const PRCTLS: &[i32] = &[libc::PR_SET_NAME, libc::PR_GET_NAME, 0x5356_4D41, libc::PR_GET_DUMPABLE];
/// ARCH_SET_FS, ARCH_GET_FS, and the question for shadow stacks that glibc asks at start.
const ARCH_PRCTLS: &[i32] = &[0x1002, 0x1003, 0x3001];

fn each(argument: u8, values: &[i32]) -> Built<Vec<Vec<SeccompCondition>>> {
    values.iter().map(|value| Ok(vec![equal(argument, *value)?])).collect()
}

fn equal(argument: u8, value: i32) -> Built<SeccompCondition> {
    let value = u64::from(value.cast_unsigned());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn zero(argument: u8) -> Built<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
}

fn masked(argument: u8, mask: i32, value: i32) -> Built<SeccompCondition> {
    let operator = SeccompCmpOp::MaskedEq(u64::from(mask.cast_unsigned()));
    let value = u64::from(value.cast_unsigned());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_call_has_one_verdict() {
        let mut seen = BTreeSet::new();
        let arguments: Vec<i64> = by_arguments().unwrap().into_keys().collect();
        for call in [KILLED, NO_FILE, NEVER, ALLOWED, &arguments].concat() {
            assert!(seen.insert(call), "system call {call} stands in two tables");
        }
    }

    #[test]
    fn the_programs_compile_and_fit() {
        for simulate in [false, true] {
            let programs = programs(simulate).unwrap();
            assert_eq!(programs.len(), if simulate { 5 } else { 4 });
            assert!(programs.iter().all(|program| program.len() < 4096));
            let places = programs.iter().flatten().filter(|step| step.k == OWN_PID).count();
            assert_eq!(places, 1, "one place for the process's own number");
        }
    }
}
