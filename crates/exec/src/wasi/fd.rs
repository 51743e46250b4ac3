// SPDX-License-Identifier: Apache-2.0

//! Descriptors: reading, writing, flags and rights.

use crate::poll::Interest;
use crate::vfs::{Descriptor, Object, Preopen};

use super::abi::{Errno, fdflags, rights};
use super::context::Context;
use super::memory::{Buffer, Memory};

/// The name of the one directory that is there from the start.
const ROOT: &str = "/";

/// `fd_close`. What was written to a connection is still delivered.
pub(super) fn fd_close(
    context: &mut Context,
    _memory: &mut Memory<'_>,
    fd: u32,
) -> Result<(), Errno> {
    context.table.remove(fd).map(drop)
}

/// `fd_fdstat_get`
pub(super) fn fd_fdstat_get(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    result: u32,
) -> Result<(), Errno> {
    let descriptor = context.table.get(fd)?;
    let mut stat = [0; 24];
    stat[0] = descriptor.file_type() as u8;
    stat[2..4].copy_from_slice(&descriptor.flags.to_le_bytes());
    stat[8..16].copy_from_slice(&descriptor.rights.to_le_bytes());
    stat[16..24].copy_from_slice(&descriptor.inheriting.to_le_bytes());
    memory.write(result, &stat)
}

/// `fd_fdstat_set_flags`
pub(super) fn fd_fdstat_set_flags(
    context: &mut Context,
    _memory: &mut Memory<'_>,
    fd: u32,
    flags: u32,
) -> Result<(), Errno> {
    let descriptor = context.table.get_mut(fd)?;
    descriptor.flags = flags_from(flags, fdflags::ALL)?;
    Ok(())
}

/// `fd_fdstat_set_rights`: rights can only be given up.
pub(super) fn fd_fdstat_set_rights(
    context: &mut Context,
    _memory: &mut Memory<'_>,
    fd: u32,
    base: u64,
    inheriting: u64,
) -> Result<(), Errno> {
    let descriptor = context.table.get_mut(fd)?;
    if base & !descriptor.rights != 0 || inheriting & !descriptor.inheriting != 0 {
        return Err(Errno::NotCapable);
    }
    descriptor.rights = base;
    descriptor.inheriting = inheriting;
    Ok(())
}

/// `fd_prestat_get`. Guests ask for one number after the other, from 3 to the first that is "bad": so what the configuration
/// lists between the standard streams and the directory has to answer, as something that is no directory (tag 1).
pub(super) fn fd_prestat_get(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    result: u32,
) -> Result<(), Errno> {
    let (tag, len) = match context.table.get(fd)?.preopen {
        Preopen::No => return Err(Errno::BadFd),
        Preopen::Root => (0, ROOT.len()),
        Preopen::Other => (1, 0),
    };
    memory.write_u32(result, tag)?;
    memory.write_len(result.checked_add(4).ok_or(Errno::Fault)?, len)
}

/// `fd_prestat_dir_name`
pub(super) fn fd_prestat_dir_name(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    start: u32,
    len: u32,
) -> Result<(), Errno> {
    match context.table.get(fd)?.preopen {
        Preopen::No => Err(Errno::BadFd),
        Preopen::Other => Err(Errno::NotDirectory),
        Preopen::Root if memory.buffer(start, len)?.len() < ROOT.len() => Err(Errno::NameTooLong),
        Preopen::Root => memory.write(start, ROOT.as_bytes()),
    }
}

/// `fd_read`
pub(super) fn fd_read(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    buffers: u32,
    count: u32,
    result: u32,
) -> Result<(), Errno> {
    let buffers = memory.buffers(buffers, count)?;
    memory.buffer(result, 4)?;
    let total = read(context, memory, fd, &buffers)?;
    memory.write_len(result, total)
}

/// `fd_write`
pub(super) fn fd_write(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    buffers: u32,
    count: u32,
    result: u32,
) -> Result<(), Errno> {
    let buffers = memory.buffers(buffers, count)?;
    memory.buffer(result, 4)?;
    let total = write(context, memory, fd, &buffers)?;
    memory.write_len(result, total)
}

/// `fd_renumber`
pub(super) fn fd_renumber(
    context: &mut Context,
    _memory: &mut Memory<'_>,
    from: u32,
    to: u32,
) -> Result<(), Errno> {
    context.table.renumber(from, to)
}

/// Flags out of an argument of the guest's, of which only those in `known` are meant.
pub(super) fn flags_from(flags: u32, known: u16) -> Result<u16, Errno> {
    u16::try_from(flags).ok().filter(|flags| flags & !known == 0).ok_or(Errno::Invalid)
}

/// The descriptor, if it is open for `right`.
pub(super) fn open_for(
    context: &mut Context,
    fd: u32,
    right: u64,
) -> Result<&mut Descriptor, Errno> {
    let descriptor = context.table.get_mut(fd)?;
    if descriptor.rights & right != right {
        return Err(if descriptor.is_directory() { Errno::IsDirectory } else { Errno::BadFd });
    }
    Ok(descriptor)
}

/// Fills `buffers` as far as that goes without waiting more than for the first byte; how many bytes.
pub(super) fn read(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    buffers: &[Buffer],
) -> Result<usize, Errno> {
    open_for(context, fd, rights::FD_READ)?;
    if buffers.iter().all(|buffer| buffer.len() == 0) {
        return Ok(0);
    }
    context.blocking(fd, Interest::READ, |context| {
        let object = &mut context.table.get_mut(fd)?.object;
        let mut total = 0;
        for buffer in buffers.iter().filter(|buffer| buffer.len() > 0) {
            match read_once(object, memory.bytes_mut(*buffer)) {
                Ok(count) => {
                    total += count;
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(_later) if total > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(total)
    })
}

fn read_once(object: &mut Object, to: &mut [u8]) -> Result<usize, Errno> {
    match object {
        Object::Input(end) => end.read(to),
        Object::Connection(connection) => Ok(connection.read(to)?),
        Object::Node { node, position } => {
            let count = node.read_at(*position, to)?;
            if !node.is_device() {
                *position = position.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
            Ok(count)
        }
        Object::Output(_) => Err(Errno::BadFd),
        Object::Listener(_) => Err(Errno::NotConnected),
    }
}

/// Small buffers on their way to a stream are put together up to this size, bytes.
const GATHER_BYTES: usize = 64 * 1024;

/// Writes `buffers`: all of them, unless the descriptor is in non-blocking mode; how many bytes.
pub(super) fn write(
    context: &mut Context,
    memory: &Memory<'_>,
    fd: u32,
    buffers: &[Buffer],
) -> Result<usize, Errno> {
    let now = context.now();
    let descriptor = open_for(context, fd, rights::FD_WRITE)?;
    let append = descriptor.flags & fdflags::APPEND != 0;
    if let Object::Node { node, position } = &mut descriptor.object {
        if append && !node.is_device() {
            *position = node.size();
        }
        let mut total = 0;
        for buffer in buffers {
            match node.write_at(*position, memory.bytes(*buffer), now) {
                Ok(count) => {
                    total += count;
                    if !node.is_device() {
                        *position =
                            position.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                    }
                }
                Err(_later) if total > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        return Ok(total);
    }
    let mut total = 0;
    let result = write_stream(context, memory, fd, buffers, &mut total);
    context.wrote(total);
    match result {
        Err(errno) if total == 0 => Err(errno),
        _ => Ok(total),
    }
}

fn write_stream(
    context: &mut Context,
    memory: &Memory<'_>,
    fd: u32,
    buffers: &[Buffer],
    total: &mut usize,
) -> Result<(), Errno> {
    let mut gathered = Vec::new();
    for (index, buffer) in buffers.iter().enumerate() {
        let bytes = memory.bytes(*buffer);
        let last = index + 1 == buffers.len();
        if gathered.is_empty() && (last || bytes.len() >= GATHER_BYTES) {
            write_all(context, fd, bytes, total)?;
            continue;
        }
        gathered.extend_from_slice(bytes);
        if last || gathered.len() >= GATHER_BYTES {
            write_all(context, fd, &gathered, total)?;
            gathered.clear();
        }
    }
    Ok(())
}

fn write_all(
    context: &mut Context,
    fd: u32,
    mut rest: &[u8],
    total: &mut usize,
) -> Result<(), Errno> {
    while !rest.is_empty() {
        let count = context.blocking(fd, Interest::WRITE, |context| {
            match &mut context.table.get_mut(fd)?.object {
                Object::Output(end) => end.write(rest),
                Object::Connection(connection) => Ok(connection.write(rest)?),
                Object::Input(_) | Object::Node { .. } => Err(Errno::BadFd),
                Object::Listener(_) => Err(Errno::NotConnected),
            }
        })?;
        *total += count;
        rest = rest.get(count..).unwrap_or_default();
    }
    Ok(())
}
