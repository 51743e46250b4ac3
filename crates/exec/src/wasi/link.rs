// SPDX-License-Identifier: Apache-2.0

//! The table of all calls: from WebAssembly's arguments to our functions.

use std::fmt;

use wasmtime::{Caller, Extern, Linker};

use super::abi::Errno;
use super::context::Context;
use super::memory::Memory;
use super::{clock, dir, fd, file, path, poll, process, sock};

/// The module that these calls are imported from.
const MODULE: &str = "wasi_snapshot_preview1";

/// The guest ends itself with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest ends with code {}", self.0)
    }
}

impl std::error::Error for Exit {}

macro_rules! calls {
    ($linker:expr; $($module:ident::$name:ident($($arg:ident: $kind:ty),*);)*) => {$(
        $linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut caller: Caller<'_, Context>, $($arg: $kind),*| -> u32 {
                call(&mut caller, |context, memory| $module::$name(context, memory, $($arg),*))
            },
        )?;
    )*};
}

/// Adds all calls to `linker`.
///
/// # Errors
/// If one is there already.
pub(crate) fn add_to(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    calls! { linker;
        process::args_get(array: u32, bytes: u32);
        process::args_sizes_get(count: u32, size: u32);
        process::environ_get(array: u32, bytes: u32);
        process::environ_sizes_get(count: u32, size: u32);
        process::proc_raise(signal: u32);
        process::random_get(start: u32, len: u32);
        process::sched_yield();

        clock::clock_res_get(id: u32, result: u32);
        clock::clock_time_get(id: u32, precision: u64, result: u32);

        fd::fd_close(fd: u32);
        fd::fd_fdstat_get(fd: u32, result: u32);
        fd::fd_fdstat_set_flags(fd: u32, flags: u32);
        fd::fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
        fd::fd_prestat_dir_name(fd: u32, start: u32, len: u32);
        fd::fd_prestat_get(fd: u32, result: u32);
        fd::fd_read(fd: u32, buffers: u32, count: u32, result: u32);
        fd::fd_renumber(from: u32, to: u32);
        fd::fd_write(fd: u32, buffers: u32, count: u32, result: u32);

        file::fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
        file::fd_allocate(fd: u32, offset: u64, len: u64);
        file::fd_datasync(fd: u32);
        file::fd_filestat_get(fd: u32, result: u32);
        file::fd_filestat_set_size(fd: u32, size: u64);
        file::fd_filestat_set_times(fd: u32, access: u64, content: u64, flags: u32);
        file::fd_pread(fd: u32, buffers: u32, count: u32, offset: u64, result: u32);
        file::fd_pwrite(fd: u32, buffers: u32, count: u32, offset: u64, result: u32);
        file::fd_seek(fd: u32, offset: i64, whence: u32, result: u32);
        file::fd_sync(fd: u32);
        file::fd_tell(fd: u32, result: u32);

        dir::fd_readdir(fd: u32, start: u32, len: u32, cookie: u64, result: u32);

        path::path_create_directory(fd: u32, path: u32, len: u32);
        path::path_filestat_get(fd: u32, lookup: u32, path: u32, len: u32, result: u32);
        path::path_filestat_set_times(
            fd: u32, lookup: u32, path: u32, len: u32, access: u64, content: u64, flags: u32
        );
        path::path_link(
            old_fd: u32, lookup: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32
        );
        path::path_open(
            fd: u32, lookup: u32, path: u32, len: u32, oflags: u32, base: u64, inheriting: u64,
            fdflags: u32, result: u32
        );
        path::path_readlink(fd: u32, path: u32, len: u32, buffer: u32, size: u32, result: u32);
        path::path_remove_directory(fd: u32, path: u32, len: u32);
        path::path_rename(fd: u32, old: u32, old_len: u32, new_fd: u32, new: u32, new_len: u32);
        path::path_symlink(old: u32, old_len: u32, fd: u32, new: u32, new_len: u32);
        path::path_unlink_file(fd: u32, path: u32, len: u32);

        poll::poll_oneoff(subscriptions: u32, events: u32, count: u32, result: u32);

        sock::sock_accept(fd: u32, flags: u32, result: u32);
        sock::sock_recv(fd: u32, buffers: u32, count: u32, flags: u32, len: u32, out_flags: u32);
        sock::sock_send(fd: u32, buffers: u32, count: u32, flags: u32, len: u32);
        sock::sock_shutdown(fd: u32, how: u32);
    }
    linker.func_wrap(MODULE, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Exit(code)))
    })?;
    Ok(())
}

/// One call: finds the guest's memory, and turns the result into a number.
fn call(
    caller: &mut Caller<'_, Context>,
    function: impl FnOnce(&mut Context, &mut Memory<'_>) -> Result<(), Errno>,
) -> u32 {
    if caller.data().memory.is_none() {
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        caller.data_mut().memory = memory;
    }
    if let Some(news) = caller.data_mut().limits.news() {
        (caller.data().on)(news);
    }
    let result = match caller.data().memory {
        Some(memory) => {
            let (bytes, context) = memory.data_and_store_mut(&mut *caller);
            function(context, &mut Memory(bytes))
        }
        // Without a memory no address is inside of it.
        None => function(caller.data_mut(), &mut Memory(&mut [])),
    };
    match result {
        Ok(()) => 0,
        Err(errno) => (errno as u8).into(),
    }
}
