// SPDX-License-Identifier: Apache-2.0

//! Sockets.

use std::net::Shutdown;

use crate::poll::Interest;
use crate::vfs::{Descriptor, Object};

use super::abi::{Errno, fdflags, riflags, sdflags};
use super::context::Context;
use super::fd::{flags_from, read, write};
use super::memory::{Buffer, Memory};

/// `sock_accept`
pub(super) fn sock_accept(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    flags: u32,
    result: u32,
) -> Result<(), Errno> {
    let flags = flags_from(flags, fdflags::NONBLOCK)?;
    memory.buffer(result, 4)?;
    let connection = context.blocking(fd, Interest::READ, |context| {
        context.table.free()?;
        match &mut context.table.get_mut(fd)?.object {
            Object::Listener(listener) => Ok(listener.accept()?),
            Object::Connection(_) => Err(Errno::Invalid),
            Object::Input(_) | Object::Output(_) | Object::Node { .. } => Err(Errno::NotSocket),
        }
    })?;
    let mut descriptor = Descriptor::new(Object::Connection(connection));
    descriptor.flags = flags;
    let accepted = context.table.insert(descriptor)?;
    memory.write_u32(result, accepted)
}

/// `sock_recv`. The flags that it returns are 16 bits wide; none is ever set.
#[expect(clippy::too_many_arguments, reason = "the interface has as many")]
pub(super) fn sock_recv(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    buffers: u32,
    count: u32,
    flags: u32,
    len: u32,
    out_flags: u32,
) -> Result<(), Errno> {
    let flags = flags_from(flags, riflags::PEEK | riflags::WAITALL)?;
    let buffers = memory.buffers(buffers, count)?;
    memory.buffer(len, 4)?;
    memory.buffer(out_flags, 2)?;
    connected(context, fd)?;
    let total = if flags & riflags::PEEK != 0 {
        peek(context, memory, fd, &buffers, flags & riflags::WAITALL != 0)?
    } else if flags & riflags::WAITALL != 0 {
        read_all(context, memory, fd, &buffers)?
    } else {
        read(context, memory, fd, &buffers)?
    };
    memory.write_len(len, total)?;
    memory.write(out_flags, &[0, 0])
}

/// `sock_send`
pub(super) fn sock_send(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    buffers: u32,
    count: u32,
    flags: u32,
    len: u32,
) -> Result<(), Errno> {
    flags_from(flags, 0)?;
    let buffers = memory.buffers(buffers, count)?;
    memory.buffer(len, 4)?;
    connected(context, fd)?;
    let total = write(context, memory, fd, &buffers)?;
    memory.write_len(len, total)
}

/// `sock_shutdown`
pub(super) fn sock_shutdown(
    context: &mut Context,
    _memory: &mut Memory<'_>,
    fd: u32,
    how: u32,
) -> Result<(), Errno> {
    const BOTH: u8 = sdflags::RD | sdflags::WR;
    connected(context, fd)?;
    let how = match u8::try_from(how) {
        Ok(sdflags::RD) => Shutdown::Read,
        Ok(sdflags::WR) => Shutdown::Write,
        Ok(BOTH) => Shutdown::Both,
        _ => return Err(Errno::Invalid),
    };
    match &mut context.table.get_mut(fd)?.object {
        Object::Connection(connection) => Ok(connection.shutdown(how)?),
        _ => Err(Errno::NotSocket),
    }
}

/// Checks that it is a connection.
fn connected(context: &Context, fd: u32) -> Result<(), Errno> {
    match context.table.get(fd)?.object {
        Object::Connection(_) => Ok(()),
        Object::Listener(_) => Err(Errno::NotConnected),
        Object::Input(_) | Object::Output(_) | Object::Node { .. } => Err(Errno::NotSocket),
    }
}

/// Fills all of `buffers`, unless the end comes first or the descriptor is in non-blocking mode.
fn read_all(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    buffers: &[Buffer],
) -> Result<usize, Errno> {
    let mut total = 0;
    for buffer in buffers {
        let mut rest = *buffer;
        while rest.len() > 0 {
            let count = match read(context, memory, fd, &[rest]) {
                Err(_later) if total > 0 => return Ok(total),
                result => result?,
            };
            if count == 0 {
                return Ok(total);
            }
            total += count;
            rest = rest.after(count);
        }
    }
    Ok(total)
}

/// Most bytes that are looked at without taking them.
const PEEK_BYTES_MAX: usize = 64 * 1024;

/// Fills `buffers` with bytes that stay where they are. Waiting for all of them would have to buffer as many as the guest
/// says, so it is refused.
fn peek(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    buffers: &[Buffer],
    all: bool,
) -> Result<usize, Errno> {
    if all {
        return Err(Errno::NotSupported);
    }
    let room: usize = buffers.iter().map(|buffer| buffer.len()).sum();
    if room == 0 {
        return Ok(0);
    }
    let mut seen = vec![0; room.min(PEEK_BYTES_MAX)];
    let count = context.blocking(fd, Interest::READ, |context| {
        match &mut context.table.get_mut(fd)?.object {
            Object::Connection(connection) => Ok(connection.peek(&mut seen)?),
            _ => Err(Errno::NotSocket),
        }
    })?;
    let mut seen = seen.get(..count).unwrap_or_default();
    for buffer in buffers {
        let (now, later) = seen.split_at(seen.len().min(buffer.len()));
        if let Some(to) = memory.bytes_mut(*buffer).get_mut(..now.len()) {
            to.copy_from_slice(now);
        }
        seen = later;
    }
    Ok(count)
}
