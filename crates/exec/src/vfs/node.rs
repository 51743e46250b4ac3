// SPDX-License-Identifier: Apache-2.0

//! What the tree is made of: directories, files, devices, and the directories whose entries are sockets.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use types::limits;

use super::budget::Budget;
use super::file::MemoryFile;
use crate::wasi::abi::{Errno, FileType};

/// Where nodes of a tree get their numbers and their memory from.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) budget: Arc<Budget>,
    next: Cell<u64>,
}

impl Space {
    pub(crate) fn new(budget: Arc<Budget>) -> Rc<Self> {
        Rc::new(Self { budget, next: Cell::new(1) })
    }

    fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        number
    }
}

/// Timestamps, nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) access: u64,
    pub(crate) content: u64,
    pub(crate) attributes: u64,
}

/// A node of the tree.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) number: u64,
    pub(crate) times: Cell<Times>,
    /// Names that lead here; a directory has one until it is removed.
    pub(crate) links: Cell<u64>,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind {
    Directory(Directory),
    /// A file of the package: never changes.
    Package(Vec<u8>),
    /// A file in `/tmp`.
    Memory(RefCell<MemoryFile>),
    Device(Device),
    /// A directory whose entries come into being when they are opened.
    Sockets(Sockets),
}

/// Devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    Null,
    Zero,
    Random,
}

/// The directories below `/net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sockets {
    /// `/net/con/<host[:port]>`
    Connect,
    /// `/net/lis/<port>`
    Listen,
    /// `/net/peer/<fd>`
    Peer,
}

impl Node {
    pub(crate) fn new(space: &Space, kind: Kind, now: u64) -> Rc<Self> {
        Self::numbered(space.number(), kind, now)
    }

    /// A node outside of the tree.
    pub(crate) fn numbered(number: u64, kind: Kind, now: u64) -> Rc<Self> {
        let times = Times { access: now, content: now, attributes: now };
        Rc::new(Self { number, times: Cell::new(times), links: Cell::new(1), kind })
    }

    pub(crate) fn directory(&self) -> Option<&Directory> {
        match &self.kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_) | Kind::Sockets(_))
    }

    pub(crate) fn is_device(&self) -> bool {
        matches!(self.kind, Kind::Device(_))
    }

    pub(crate) fn file_type(&self) -> FileType {
        match self.kind {
            Kind::Directory(_) | Kind::Sockets(_) => FileType::Directory,
            Kind::Package(_) | Kind::Memory(_) => FileType::Regular,
            Kind::Device(_) => FileType::CharacterDevice,
        }
    }

    /// Length of a file, bytes; 0 for all else.
    pub(crate) fn size(&self) -> u64 {
        match &self.kind {
            Kind::Package(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Kind::Memory(file) => file.borrow().size(),
            _ => 0,
        }
    }

    /// The content changed.
    pub(crate) fn changed(&self, now: u64) {
        let times = self.times.get();
        self.times.set(Times { content: now, attributes: now, ..times });
    }

    /// The attributes changed.
    pub(crate) fn altered(&self, now: u64) {
        let times = self.times.get();
        self.times.set(Times { attributes: now, ..times });
    }
}

/// A directory.
#[derive(Debug)]
pub(crate) struct Directory {
    entries: RefCell<Entries>,
    /// Where what is created here gets its memory from; `None`: nothing can be created here.
    pub(crate) space: Option<Rc<Space>>,
    /// Directories above this one.
    pub(crate) depth: Cell<usize>,
}

#[derive(Debug, Default)]
struct Entries {
    by_name: BTreeMap<String, (u64, Rc<Node>)>,
    /// In the order of their creation, so that a listing can go on after changes.
    by_order: BTreeMap<u64, String>,
    next: u64,
}

/// Memory that an entry is charged with, besides its name and its content.
const ENTRY_BYTES: u64 = 512;

impl Directory {
    pub(crate) fn new(space: Option<Rc<Space>>, depth: usize) -> Self {
        Self { entries: RefCell::default(), space, depth: Cell::new(depth) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Rc<Node>> {
        self.entries.borrow().by_name.get(name).map(|(_order, node)| Rc::clone(node))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.borrow().by_name.is_empty()
    }

    /// Adds an entry, in place of one of the same name.
    ///
    /// # Errors
    /// [`Errno::NameTooLong`], [`Errno::NoSpace`].
    pub(crate) fn insert(&self, name: &str, node: Rc<Node>) -> Result<(), Errno> {
        if name.len() > limits::ENTRY_NAME_BYTES_MAX {
            return Err(Errno::NameTooLong);
        }
        let mut entries = self.entries.borrow_mut();
        if let Some((_order, present)) = entries.by_name.get_mut(name) {
            *present = node;
            return Ok(());
        }
        if let Some(space) = &self.space
            && !space.budget.take(charge(name))
        {
            return Err(Errno::NoSpace);
        }
        let order = entries.next;
        entries.next += 1;
        entries.by_order.insert(order, name.to_owned());
        entries.by_name.insert(name.to_owned(), (order, node));
        Ok(())
    }

    /// Removes an entry, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Option<Rc<Node>> {
        let mut entries = self.entries.borrow_mut();
        let (order, node) = entries.by_name.remove(name)?;
        entries.by_order.remove(&order);
        if let Some(space) = &self.space {
            space.budget.give(charge(name));
        }
        Some(node)
    }

    /// The first entry at or after the place `order`: its place, name and node.
    pub(crate) fn next_at(&self, order: u64) -> Option<(u64, String, Rc<Node>)> {
        let entries = self.entries.borrow();
        let (order, name) = entries.by_order.range(order..).next()?;
        let (_order, node) = entries.by_name.get(name)?;
        Some((*order, name.clone(), Rc::clone(node)))
    }

    /// All nodes in this directory.
    pub(crate) fn nodes(&self) -> Vec<Rc<Node>> {
        self.entries.borrow().by_name.values().map(|(_order, node)| Rc::clone(node)).collect()
    }
}

fn charge(name: &str) -> u64 {
    ENTRY_BYTES + 2 * u64::try_from(name.len()).unwrap_or(u64::MAX / 4)
}
