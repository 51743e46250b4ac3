// SPDX-License-Identifier: Apache-2.0

//! What can be done with files only: positions, sizes, attributes.

use std::rc::Rc;

use crate::vfs::{Device, Kind, Node, Object, Times};

use super::abi::{Errno, FileType, fstflags, rights};
use super::context::Context;
use super::fd::{flags_from, open_for};
use super::memory::Memory;

/// Number of the tree, which is one device.
const DEVICE: u64 = 1;

/// `fd_advise`: everything is in memory already.
pub(super) fn fd_advise(
    context: &mut Context,
    _memory: &mut Memory<'_>,
    fd: u32,
    offset: u64,
    len: u64,
    advice: u32,
) -> Result<(), Errno> {
    file(context, fd)?;
    if advice > 5 || offset.checked_add(len).is_none() {
        return Err(Errno::Invalid);
    }
    Ok(())
}

/// `fd_allocate`: the file is at least `offset + len` bytes long afterwards.
pub(super) fn fd_allocate(
    context: &mut Context,
    _memory: &mut Memory<'_>,
    fd: u32,
    offset: u64,
    len: u64,
) -> Result<(), Errno> {
    open_for(context, fd, rights::FD_WRITE)?;
    let node = file(context, fd)?;
    let end = offset.checked_add(len).ok_or(Errno::FileTooBig)?;
    if len == 0 {
        return Err(Errno::Invalid);
    }
    if end > node.size() {
        node.set_size(end, context.now())?;
    }
    Ok(())
}

/// `fd_datasync`: nothing is cached.
pub(super) fn fd_datasync(
    context: &mut Context,
    _memory: &mut Memory<'_>,
    fd: u32,
) -> Result<(), Errno> {
    match context.table.get(fd)?.object {
        Object::Node { .. } | Object::Output(_) => Ok(()),
        Object::Input(_) | Object::Listener(_) | Object::Connection(_) => Err(Errno::Invalid),
    }
}

/// `fd_sync`
pub(super) fn fd_sync(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
) -> Result<(), Errno> {
    fd_datasync(context, memory, fd)
}

/// `fd_filestat_get`
pub(super) fn fd_filestat_get(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    result: u32,
) -> Result<(), Errno> {
    let descriptor = context.table.get(fd)?;
    let stat = match &descriptor.object {
        Object::Node { node, .. } => filestat(node),
        _ => filestat_of(descriptor.file_type(), 0, 0, 1, Times::default()),
    };
    memory.write(result, &stat)
}

/// `fd_filestat_set_size`
pub(super) fn fd_filestat_set_size(
    context: &mut Context,
    _memory: &mut Memory<'_>,
    fd: u32,
    size: u64,
) -> Result<(), Errno> {
    open_for(context, fd, rights::FD_WRITE)?;
    file(context, fd)?.set_size(size, context.now())
}

/// `fd_filestat_set_times`
pub(super) fn fd_filestat_set_times(
    context: &mut Context,
    _memory: &mut Memory<'_>,
    fd: u32,
    access: u64,
    content: u64,
    flags: u32,
) -> Result<(), Errno> {
    let Object::Node { node, .. } = &context.table.get(fd)?.object else {
        return Err(Errno::Invalid);
    };
    set_times(node, access, content, flags, context.now())
}

/// `fd_pread`
pub(super) fn fd_pread(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    buffers: u32,
    count: u32,
    mut offset: u64,
    result: u32,
) -> Result<(), Errno> {
    let buffers = memory.buffers(buffers, count)?;
    memory.buffer(result, 4)?;
    open_for(context, fd, rights::FD_READ)?;
    let node = file(context, fd)?;
    let mut total = 0;
    for buffer in buffers {
        let count = node.read_at(offset, memory.bytes_mut(buffer))?;
        total += count;
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if count < buffer.len() {
            break;
        }
    }
    memory.write_len(result, total)
}

/// `fd_pwrite`
pub(super) fn fd_pwrite(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    buffers: u32,
    count: u32,
    mut offset: u64,
    result: u32,
) -> Result<(), Errno> {
    let buffers = memory.buffers(buffers, count)?;
    memory.buffer(result, 4)?;
    open_for(context, fd, rights::FD_WRITE)?;
    let node = file(context, fd)?;
    let now = context.now();
    let mut total = 0;
    for buffer in buffers {
        match node.write_at(offset, memory.bytes(buffer), now) {
            Ok(count) => {
                total += count;
                offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
            Err(_later) if total > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    memory.write_len(result, total)
}

/// `fd_seek`
pub(super) fn fd_seek(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    result: u32,
) -> Result<(), Errno> {
    memory.buffer(result, 8)?;
    let Object::Node { node, position } = &mut context.table.get_mut(fd)?.object else {
        return Err(Errno::SeekPipe);
    };
    if node.is_directory() {
        return Err(Errno::BadFd);
    }
    let from = match whence {
        0 => 0,
        1 => *position,
        2 => node.size(),
        _ => return Err(Errno::Invalid),
    };
    let sought = from.checked_add_signed(offset).ok_or(Errno::Invalid)?;
    if !node.is_device() {
        *position = sought;
    }
    memory.write_u64(result, *position)
}

/// `fd_tell`
pub(super) fn fd_tell(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    result: u32,
) -> Result<(), Errno> {
    fd_seek(context, memory, fd, 0, 1, result)
}

/// The file or device behind a descriptor.
fn file(context: &Context, fd: u32) -> Result<Rc<Node>, Errno> {
    match &context.table.get(fd)?.object {
        Object::Node { node, .. } if node.is_directory() => Err(Errno::BadFd),
        Object::Node { node, .. } => Ok(Rc::clone(node)),
        _ => Err(Errno::SeekPipe),
    }
}

/// Attributes of a node, as the guest gets them.
pub(super) fn filestat(node: &Node) -> [u8; 64] {
    filestat_of(node.file_type(), node.number, node.size(), node.links.get(), node.times.get())
}

/// Attributes, as the guest gets them.
pub(super) fn filestat_of(
    file_type: FileType,
    number: u64,
    size: u64,
    links: u64,
    times: Times,
) -> [u8; 64] {
    let kind = u64::from(file_type as u8);
    let Times { access, content, attributes } = times;
    let mut stat = [0; 64];
    let fields = [DEVICE, number, kind, links, size, access, content, attributes];
    for (to, field) in stat.as_chunks_mut::<8>().0.iter_mut().zip(fields) {
        *to = field.to_le_bytes();
    }
    stat
}

/// Sets timestamps, nanoseconds since 1970.
pub(super) fn set_times(
    node: &Node,
    access: u64,
    content: u64,
    flags: u32,
    now: u64,
) -> Result<(), Errno> {
    use fstflags::{ATIM, ATIM_NOW, MTIM, MTIM_NOW};
    let flags = flags_from(flags, ATIM | ATIM_NOW | MTIM | MTIM_NOW)?;
    let both = |one, other| flags & one != 0 && flags & other != 0;
    if both(ATIM, ATIM_NOW) || both(MTIM, MTIM_NOW) {
        return Err(Errno::Invalid);
    }
    match &node.kind {
        Kind::Memory(_) | Kind::Device(Device::Null | Device::Zero | Device::Random) => {}
        Kind::Directory(directory) if directory.space.is_some() => {}
        Kind::Directory(_) | Kind::Package(_) | Kind::Sockets(_) => return Err(Errno::ReadOnly),
    }
    let choose = |set, given, set_now, present| match () {
        () if flags & set != 0 => given,
        () if flags & set_now != 0 => now,
        () => present,
    };
    let times = node.times.get();
    node.times.set(Times {
        access: choose(ATIM, access, ATIM_NOW, times.access),
        content: choose(MTIM, content, MTIM_NOW, times.content),
        attributes: now,
    });
    Ok(())
}
