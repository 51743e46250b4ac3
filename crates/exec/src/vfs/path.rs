// SPDX-License-Identifier: Apache-2.0

//! From a path to a place in the tree. Nothing above the directory where the path starts is ever reached, and there are
//! no symbolic links.

use std::rc::Rc;

use types::limits;

use super::node::{Kind, Node, Sockets};
use crate::wasi::abi::Errno;

/// Where a path leads.
#[derive(Debug)]
pub(crate) enum Place {
    /// To a directory as such: the path ends in `.` or `..`.
    Here(Rc<Node>),
    /// To an entry of a directory, there or not.
    Entry(Entry),
    /// To a name below one of the directories of `/net`.
    Socket(Sockets, String),
}

/// A name in a directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) parent: Rc<Node>,
    pub(crate) name: String,
    /// What has that name.
    pub(crate) node: Option<Rc<Node>>,
    /// Whether the path ends in `/`, so that only a directory will do.
    pub(crate) slash: bool,
}

impl Entry {
    /// What has that name.
    ///
    /// # Errors
    /// [`Errno::NoEntry`]; [`Errno::NotDirectory`] if it has to be a directory and is none.
    pub(crate) fn present(&self) -> Result<&Rc<Node>, Errno> {
        let node = self.node.as_ref().ok_or(Errno::NoEntry)?;
        if self.slash && !node.is_directory() {
            return Err(Errno::NotDirectory);
        }
        Ok(node)
    }
}

/// Follows `path` from the directory `base`.
///
/// # Errors
/// [`Errno::NoEntry`], [`Errno::NotDirectory`], [`Errno::NameTooLong`]; [`Errno::Permission`] for an absolute path and for one
/// that leads above `base`.
pub(crate) fn resolve(base: &Rc<Node>, path: &str) -> Result<Place, Errno> {
    if path.is_empty() {
        return Err(Errno::NoEntry);
    }
    if path.starts_with('/') {
        return Err(Errno::Permission);
    }
    let slash = path.ends_with('/');
    let mut above: Vec<Rc<Node>> = Vec::new();
    let mut here = Rc::clone(base);
    let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
    while let Some(name) = parts.next() {
        let last = parts.peek().is_none();
        if !here.is_directory() {
            return Err(Errno::NotDirectory);
        }
        match name {
            "." => continue,
            ".." => {
                here = above.pop().ok_or(Errno::Permission)?;
                continue;
            }
            _ if name.len() > limits::ENTRY_NAME_BYTES_MAX => return Err(Errno::NameTooLong),
            _ => {}
        }
        let directory = match &here.kind {
            Kind::Directory(directory) => directory,
            Kind::Sockets(kind) if last && !slash => {
                return Ok(Place::Socket(*kind, name.to_owned()));
            }
            _ => return Err(Errno::NotDirectory),
        };
        let node = directory.get(name);
        if last {
            return Ok(Place::Entry(Entry { parent: here, name: name.to_owned(), node, slash }));
        }
        above.push(here);
        here = node.ok_or(Errno::NoEntry)?;
    }
    Ok(Place::Here(here))
}
