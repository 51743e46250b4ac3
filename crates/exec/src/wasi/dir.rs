// SPDX-License-Identifier: Apache-2.0

//! Listing directories.

use std::rc::Rc;

use crate::vfs::{Kind, Node, Object, Sockets};

use super::abi::{Errno, FileType};
use super::context::Context;
use super::memory::Memory;

/// Entries before those of the directory itself: `.` and `..`.
const DOTS: u64 = 2;

/// One entry of a listing.
struct Item {
    /// Where the listing goes on after it.
    next: u64,
    number: u64,
    file_type: FileType,
    name: String,
}

/// `fd_readdir`: entries from `cookie` on, as many as fit; the last one may be cut off, and then the buffer is full.
pub(super) fn fd_readdir(
    context: &mut Context,
    memory: &mut Memory<'_>,
    fd: u32,
    start: u32,
    len: u32,
    mut cookie: u64,
    result: u32,
) -> Result<(), Errno> {
    let buffer = memory.buffer(start, len)?;
    memory.buffer(result, 4)?;
    let Object::Node { node, .. } = &context.table.get(fd)?.object else {
        return Err(Errno::NotDirectory);
    };
    if !node.is_directory() {
        return Err(Errno::NotDirectory);
    }
    let node = Rc::clone(node);
    let mut rest = memory.bytes_mut(buffer);
    let mut used = 0;
    while !rest.is_empty() {
        let Some(item) = item(context, &node, cookie) else {
            break;
        };
        cookie = item.next;
        let name_len = u32::try_from(item.name.len()).map_err(|_| Errno::Overflow)?;
        let mut bytes = Vec::with_capacity(24 + item.name.len());
        bytes.extend_from_slice(&item.next.to_le_bytes());
        bytes.extend_from_slice(&item.number.to_le_bytes());
        bytes.extend_from_slice(&name_len.to_le_bytes());
        bytes.extend_from_slice(&u32::from(item.file_type as u8).to_le_bytes());
        bytes.extend_from_slice(item.name.as_bytes());
        let count = bytes.len().min(rest.len());
        let (to, after) = std::mem::take(&mut rest).split_at_mut(count);
        to.copy_from_slice(bytes.get(..count).unwrap_or_default());
        used += count;
        rest = after;
    }
    memory.write_len(result, used)
}

/// The first entry at or after `cookie`.
fn item(context: &Context, directory: &Node, cookie: u64) -> Option<Item> {
    let Some(order) = cookie.checked_sub(DOTS) else {
        let name = if cookie == 0 { "." } else { ".." };
        return Some(Item {
            next: cookie + 1,
            number: directory.number,
            file_type: FileType::Directory,
            name: name.to_owned(),
        });
    };
    match &directory.kind {
        Kind::Directory(directory) => {
            let (order, name, node) = directory.next_at(order)?;
            let next = order.checked_add(DOTS + 1)?;
            Some(Item { next, number: node.number, file_type: node.file_type(), name })
        }
        Kind::Sockets(Sockets::Peer) => {
            let fd = context.table.connections().find(|fd| u64::from(*fd) >= order)?;
            Some(Item {
                next: u64::from(fd) + DOTS + 1,
                number: peer_number(fd),
                file_type: FileType::Regular,
                name: fd.to_string(),
            })
        }
        _ => None,
    }
}

/// Number of the file that tells who is at the other end of connection `fd`.
pub(super) fn peer_number(fd: u32) -> u64 {
    (1 << 32) + u64::from(fd)
}
