// SPDX-License-Identifier: Apache-2.0

//! Arguments, environment, randomness, and the process as such.

use super::abi::Errno;
use super::context::Context;
use super::memory::Memory;

/// `args_get`: addresses of the arguments, and the arguments, each with a zero byte at its end.
pub(super) fn args_get(
    context: &mut Context,
    memory: &mut Memory<'_>,
    array: u32,
    bytes: u32,
) -> Result<(), Errno> {
    strings(memory, &context.args, array, bytes)
}

/// `args_sizes_get`: how many arguments, and their size.
pub(super) fn args_sizes_get(
    context: &mut Context,
    memory: &mut Memory<'_>,
    count: u32,
    size: u32,
) -> Result<(), Errno> {
    sizes(memory, &context.args, count, size)
}

/// `environ_get`: like `args_get`, each string being `NAME=value`.
pub(super) fn environ_get(
    context: &mut Context,
    memory: &mut Memory<'_>,
    array: u32,
    bytes: u32,
) -> Result<(), Errno> {
    strings(memory, &context.env, array, bytes)
}

/// `environ_sizes_get`
pub(super) fn environ_sizes_get(
    context: &mut Context,
    memory: &mut Memory<'_>,
    count: u32,
    size: u32,
) -> Result<(), Errno> {
    sizes(memory, &context.env, count, size)
}

/// `proc_raise`: there are no signals.
pub(super) fn proc_raise(
    _context: &mut Context,
    _memory: &mut Memory<'_>,
    _signal: u32,
) -> Result<(), Errno> {
    Err(Errno::NotSupported)
}

/// `random_get`
pub(super) fn random_get(
    _context: &mut Context,
    memory: &mut Memory<'_>,
    start: u32,
    len: u32,
) -> Result<(), Errno> {
    let buffer = memory.buffer(start, len)?;
    aws_lc_rs::rand::fill(memory.bytes_mut(buffer)).map_err(|_| Errno::Io)
}

/// `sched_yield`: sockets go on with what needs no waiting.
pub(super) fn sched_yield(context: &mut Context, _memory: &mut Memory<'_>) -> Result<(), Errno> {
    context.table.progress();
    Ok(())
}

fn strings(
    memory: &mut Memory<'_>,
    strings: &[String],
    mut array: u32,
    mut at: u32,
) -> Result<(), Errno> {
    for string in strings {
        memory.write_u32(array, at)?;
        memory.write(at, string.as_bytes())?;
        let end = u32::try_from(string.len()).ok().and_then(|len| at.checked_add(len));
        let end = end.ok_or(Errno::Overflow)?;
        memory.write(end, &[0])?;
        at = end.checked_add(1).ok_or(Errno::Overflow)?;
        array = array.checked_add(4).ok_or(Errno::Overflow)?;
    }
    Ok(())
}

fn sizes(memory: &mut Memory<'_>, strings: &[String], count: u32, size: u32) -> Result<(), Errno> {
    memory.write_len(count, strings.len())?;
    memory.write_len(size, strings.iter().map(|string| string.len() + 1).sum())
}
