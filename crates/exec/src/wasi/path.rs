// SPDX-License-Identifier: Apache-2.0

//! Calls that name a path.

use std::rc::Rc;

use types::config::HostPort;

use crate::net::{NetError, NetErrorKind};
use crate::runtime::RuntimeEvent;
use crate::vfs::{
    self, Descriptor, Entry, Kind, Node, Object, Place, Sockets, Times, create_directory,
    create_file,
};

use super::abi::{Errno, FileType, fdflags, oflags, rights};
use super::context::Context;
use super::dir::peer_number;
use super::fd::flags_from;
use super::file::{filestat, filestat_of, set_times};
use super::memory::Memory;

/// `path_create_directory`
pub(super) fn path_create_directory(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    path: u32,
    len: u32,
) -> Result<(), Errno> {
    match place(context, memory, fd, path, len)? {
        Place::Entry(entry) => create_directory(&entry, context.now()),
        Place::Here(_) => Err(Errno::Exist),
        Place::Socket(..) => Err(Errno::ReadOnly),
    }
}

/// `path_filestat_get`
pub(super) fn path_filestat_get(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    _lookup: u32,
    path: u32,
    len: u32,
    result: u32,
) -> Result<(), Errno> {
    let stat = match place(context, memory, fd, path, len)? {
        Place::Here(node) => filestat(&node),
        Place::Entry(entry) => filestat(entry.present()?),
        Place::Socket(Sockets::Peer, name) => filestat(&*peer(context, &name)?),
        Place::Socket(Sockets::Connect, name) => {
            name.parse::<HostPort>().map_err(|_| Errno::NoEntry)?;
            filestat_of(FileType::SocketStream, 0, 0, 1, Times::default())
        }
        Place::Socket(Sockets::Listen, name) => {
            port(&name).ok_or(Errno::NoEntry)?;
            filestat_of(FileType::SocketStream, 0, 0, 1, Times::default())
        }
    };
    memory.write(result, &stat)
}

/// `path_filestat_set_times`
#[expect(clippy::too_many_arguments, reason = "the interface has as many")]
pub(super) fn path_filestat_set_times(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    _lookup: u32,
    path: u32,
    len: u32,
    access: u64,
    content: u64,
    flags: u32,
) -> Result<(), Errno> {
    let place = place(context, memory, fd, path, len)?;
    let node = match &place {
        Place::Here(node) => node,
        Place::Entry(entry) => entry.present()?,
        Place::Socket(..) => return Err(Errno::ReadOnly),
    };
    set_times(node, access, content, flags, context.now())
}

/// `path_link`
#[expect(clippy::too_many_arguments, reason = "the interface has as many")]
pub(super) fn path_link(
    context: &mut Context,
    memory: &mut Memory<'_>,
    old_fd: u32,
    _lookup: u32,
    old: u32,
    old_len: u32,
    new_fd: u32,
    new: u32,
    new_len: u32,
) -> Result<(), Errno> {
    let old = entry(context, memory, old_fd, old, old_len)?;
    let new = entry(context, memory, new_fd, new, new_len)?;
    vfs::link(&old, &new, context.now())
}

/// `path_readlink`: there are no symbolic links.
#[expect(clippy::too_many_arguments, reason = "the interface has as many")]
pub(super) fn path_readlink(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    path: u32,
    len: u32,
    _buffer: u32,
    _size: u32,
    _result: u32,
) -> Result<(), Errno> {
    if let Place::Entry(entry) = place(context, memory, fd, path, len)? {
        entry.present()?;
    }
    Err(Errno::Invalid)
}

/// `path_remove_directory`
pub(super) fn path_remove_directory(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    path: u32,
    len: u32,
) -> Result<(), Errno> {
    let entry = entry(context, memory, fd, path, len)?;
    vfs::remove_directory(&entry, context.now())
}

/// `path_rename`
#[expect(clippy::too_many_arguments, reason = "the interface has as many")]
pub(super) fn path_rename(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    old: u32,
    old_len: u32,
    new_fd: u32,
    new: u32,
    new_len: u32,
) -> Result<(), Errno> {
    let old = entry(context, memory, fd, old, old_len)?;
    let new = entry(context, memory, new_fd, new, new_len)?;
    vfs::rename(&old, &new, context.now())
}

/// `path_symlink`: there are no symbolic links.
pub(super) fn path_symlink(
    context: &mut Context,
    memory: &mut Memory<'_>,
    _old: u32,
    _old_len: u32,
    fd: u32,
    new: u32,
    new_len: u32,
) -> Result<(), Errno> {
    place(context, memory, fd, new, new_len)?;
    Err(Errno::NotSupported)
}

/// `path_unlink_file`
pub(super) fn path_unlink_file(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    path: u32,
    len: u32,
) -> Result<(), Errno> {
    match place(context, memory, fd, path, len)? {
        Place::Entry(entry) => vfs::unlink(&entry, context.now()),
        Place::Here(_) => Err(Errno::IsDirectory),
        Place::Socket(..) => Err(Errno::ReadOnly),
    }
}

/// `path_open`
#[expect(clippy::too_many_arguments, reason = "the interface has as many")]
pub(super) fn path_open(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    _lookup: u32,
    path: u32,
    len: u32,
    oflags: u32,
    base: u64,
    inheriting: u64,
    fdflags: u32,
    result: u32,
) -> Result<(), Errno> {
    let known = oflags::CREAT | oflags::DIRECTORY | oflags::EXCL | oflags::TRUNC;
    let oflags = flags_from(oflags, known)?;
    let fdflags = flags_from(fdflags, fdflags::ALL)?;
    memory.buffer(result, 4)?;
    context.table.free()?;
    let allowed = context.table.get(fd)?.inheriting;
    if base & rights::ALL & !allowed != 0 || inheriting & rights::ALL & !allowed != 0 {
        return Err(Errno::NotCapable);
    }
    let mut descriptor = match place(context, memory, fd, path, len)? {
        Place::Here(node) => open_node(context, node, oflags, base)?,
        Place::Entry(entry) => open_entry(context, &entry, oflags, base)?,
        Place::Socket(..) if oflags & oflags::DIRECTORY != 0 => return Err(Errno::NotDirectory),
        Place::Socket(Sockets::Peer, name) => {
            let node = peer(context, &name)?;
            open_node(context, node, oflags, base)?
        }
        Place::Socket(..) if oflags & oflags::EXCL != 0 => return Err(Errno::Exist),
        Place::Socket(..) if fdflags & !fdflags::NONBLOCK != 0 => return Err(Errno::Invalid),
        Place::Socket(kind, name) => Descriptor::new(open_socket(context, kind, &name)?),
    };
    descriptor.flags = fdflags;
    if matches!(descriptor.object, Object::Node { .. }) {
        descriptor.rights &= base;
        descriptor.inheriting &= inheriting;
    }
    let opened = context.table.insert(descriptor)?;
    memory.write_u32(result, opened)
}

/// Opens a name in a directory, creating a file if that is wanted.
fn open_entry(
    context: &Context,
    entry: &Entry,
    oflags: u16,
    base: u64,
) -> Result<Descriptor, Errno> {
    if entry.node.is_some() {
        let node = Rc::clone(entry.present()?);
        return open_node(context, node, oflags, base);
    }
    match oflags & (oflags::CREAT | oflags::DIRECTORY) {
        oflags::CREAT => Ok(Descriptor::node(create_file(entry, context.now())?)),
        0 | oflags::DIRECTORY => Err(Errno::NoEntry),
        _ => Err(Errno::Invalid),
    }
}

/// Opens what is there.
fn open_node(
    context: &Context,
    node: Rc<Node>,
    oflags: u16,
    base: u64,
) -> Result<Descriptor, Errno> {
    let writes = base & rights::FD_WRITE != 0;
    if oflags & oflags::CREAT != 0 && oflags & oflags::EXCL != 0 {
        return Err(Errno::Exist);
    }
    if node.is_directory() {
        let creates = oflags & (oflags::CREAT | oflags::TRUNC) != 0;
        if creates || (writes && oflags & oflags::DIRECTORY == 0) {
            return Err(Errno::IsDirectory);
        }
        return Ok(Descriptor::node(node));
    }
    if oflags & oflags::DIRECTORY != 0 {
        return Err(Errno::NotDirectory);
    }
    let truncates = oflags & oflags::TRUNC != 0;
    match &node.kind {
        Kind::Package(_) if writes || truncates => return Err(Errno::ReadOnly),
        Kind::Memory(_) if truncates => node.set_size(0, context.now())?,
        _ => {}
    }
    let changes = matches!(node.kind, Kind::Memory(_) | Kind::Device(_));
    let mut descriptor = Descriptor::node(node);
    if !changes {
        descriptor.rights &= !rights::WRITING;
    }
    Ok(descriptor)
}

/// Opens a socket, as far as the policy allows.
fn open_socket(context: &Context, kind: Sockets, name: &str) -> Result<Object, Errno> {
    let opened = match kind {
        Sockets::Connect => {
            let HostPort { host, port } = name.parse().map_err(|_| Errno::NoEntry)?;
            context.network.connect(&host, port).map(Object::Connection)
        }
        Sockets::Listen => {
            let port = port(name).ok_or(Errno::NoEntry)?;
            context.network.listen(port).map(Object::Listener)
        }
        Sockets::Peer => return Err(Errno::NoEntry),
    };
    opened.map_err(|NetError { kind: reason, message }| {
        let folder = if kind == Sockets::Connect { "con" } else { "lis" };
        (context.on)(RuntimeEvent::NetworkRefused {
            path: format!("/net/{folder}/{name}"),
            message,
        });
        match reason {
            NetErrorKind::Policy => Errno::Access,
            NetErrorKind::Resolve => Errno::HostUnreachable,
            NetErrorKind::Connect => Errno::ConnRefused,
            NetErrorKind::Tls => Errno::Protocol,
            NetErrorKind::Bind => Errno::AddrInUse,
            NetErrorKind::Limit => Errno::TableFull,
        }
    })
}

/// The file that tells who is at the other end of the connection with the number `name`.
fn peer(context: &Context, name: &str) -> Result<Rc<Node>, Errno> {
    let fd = name.parse().ok().filter(|fd: &u32| fd.to_string() == name).ok_or(Errno::NoEntry)?;
    match &context.table.get(fd).map_err(|_| Errno::NoEntry)?.object {
        Object::Connection(connection) => {
            let mut line = connection.peer().to_json();
            line.push('\n');
            Ok(Node::numbered(peer_number(fd), Kind::Package(line.into_bytes()), context.now()))
        }
        _ => Err(Errno::NoEntry),
    }
}

/// A port, as its decimal digits.
fn port(name: &str) -> Option<u16> {
    name.parse().ok().filter(|port: &u16| *port != 0 && port.to_string() == name)
}

fn place(
    context: &Context,
    memory: &Memory<'_>,
    fd: u32,
    path: u32,
    len: u32,
) -> Result<Place, Errno> {
    let Object::Node { node, .. } = &context.table.get(fd)?.object else {
        return Err(Errno::NotDirectory);
    };
    if !node.is_directory() {
        return Err(Errno::NotDirectory);
    }
    vfs::resolve(node, memory.path(path, len)?)
}

/// A name in a directory, for what cannot be done with `.` and `..` or below `/net`.
fn entry(
    context: &Context,
    memory: &Memory<'_>,
    fd: u32,
    path: u32,
    len: u32,
) -> Result<Entry, Errno> {
    match place(context, memory, fd, path, len)? {
        Place::Entry(entry) => Ok(entry),
        Place::Here(_) => Err(Errno::Invalid),
        Place::Socket(..) => Err(Errno::ReadOnly),
    }
}
