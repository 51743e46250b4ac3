// SPDX-License-Identifier: Apache-2.0

//! The open descriptors of a workload, and waiting for them.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use super::node::{Kind, Node};
use super::socket::{Acceptor, Stream};
use crate::poll::{Interest, PollSet};
use crate::wasi::abi::{Errno, FileType, rights};

/// One open descriptor.
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub(crate) object: Object,
    /// `fdflags`.
    pub(crate) flags: u16,
    /// What may be done with it.
    pub(crate) rights: u64,
    /// What may be done with what is opened below it.
    pub(crate) inheriting: u64,
    pub(crate) preopen: Preopen,
}

/// Whether a descriptor was there from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preopen {
    No,
    /// The directory `/`.
    Root,
    /// Something else that the configuration lists.
    Other,
}

/// What a descriptor stands for.
pub(crate) enum Object {
    /// The host's standard input.
    Input(HostEnd),
    /// The host's standard output or standard error.
    Output(HostEnd),
    /// A file, directory or device, and the position in it.
    Node {
        node: Rc<Node>,
        position: u64,
    },
    Listener(Box<dyn Acceptor>),
    Connection(Box<dyn Stream>),
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input(_) => "Input",
            Self::Output(_) => "Output",
            Self::Node { .. } => "Node",
            Self::Listener(_) => "Listener",
            Self::Connection(_) => "Connection",
        })
    }
}

/// A stream of the host's, which may be a terminal, a pipe or a file, and may block.
pub(crate) struct HostEnd(pub(crate) Box<dyn AsFd>);

/// What a pipe takes at once if it takes anything (`PIPE_BUF`).
const PIPE_BYTES: usize = 4096;

impl HostEnd {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Whether it is a terminal, as the host tells it.
    pub(crate) fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&self.fd())
    }

    /// Whether a read or a small write would not wait; so too at the end and after an error.
    pub(crate) fn ready(&self, interest: Interest) -> bool {
        let mut set = PollSet::new();
        set.add(self.fd(), interest);
        set.wait(Some(Duration::ZERO)).is_ok_and(|ready| ready > 0)
    }

    /// Reads what is there; [`Errno::Again`] if nothing is.
    pub(crate) fn read(&self, to: &mut [u8]) -> Result<usize, Errno> {
        if !self.ready(Interest::READ) {
            return Err(Errno::Again);
        }
        Ok(rustix::io::read(self.fd(), to)?)
    }

    /// Writes as much as a pipe is sure to take; [`Errno::Again`] if there is no room.
    pub(crate) fn write(&self, from: &[u8]) -> Result<usize, Errno> {
        if !self.ready(Interest::WRITE) {
            return Err(Errno::Again);
        }
        let part = from.get(..PIPE_BYTES).unwrap_or(from);
        Ok(rustix::io::write(self.fd(), part)?)
    }
}

impl Descriptor {
    /// A descriptor with all the rights that make sense for `object`.
    pub(crate) fn new(object: Object) -> Self {
        let (rights, inheriting) = match &object {
            Object::Input(_) | Object::Output(_) => (rights::STREAM, 0),
            Object::Listener(_) => (rights::LISTENER, rights::CONNECTION),
            Object::Connection(_) => (rights::CONNECTION, 0),
            Object::Node { node, .. } if node.is_directory() => (rights::DIRECTORY, rights::ALL),
            Object::Node { .. } => (rights::FILE, 0),
        };
        Self { object, flags: 0, rights, inheriting, preopen: Preopen::No }
    }

    /// The node at its beginning.
    pub(crate) fn node(node: Rc<Node>) -> Self {
        Self::new(Object::Node { node, position: 0 })
    }

    pub(crate) fn is_directory(&self) -> bool {
        matches!(&self.object, Object::Node { node, .. } if node.is_directory())
    }

    pub(crate) fn file_type(&self) -> FileType {
        match &self.object {
            Object::Input(end) | Object::Output(end) if end.is_terminal() => {
                FileType::CharacterDevice
            }
            Object::Input(_) | Object::Output(_) => FileType::Unknown,
            Object::Node { node, .. } => node.file_type(),
            Object::Listener(_) | Object::Connection(_) => FileType::SocketStream,
        }
    }

    /// Whether what `interest` is about would not wait.
    pub(crate) fn ready(&self, interest: Interest) -> bool {
        match &self.object {
            Object::Input(end) | Object::Output(end) => end.ready(interest),
            Object::Node { .. } => true,
            Object::Listener(listener) => interest.read && listener.ready(),
            Object::Connection(connection) => {
                (interest.read && connection.readable())
                    || (interest.write && connection.writable())
            }
        }
    }

    /// Bytes that a read gets at once, as far as that is known; for a listener, 1 if there is a connection.
    pub(crate) fn available(&self) -> u64 {
        let count = |count| u64::try_from(count).unwrap_or(u64::MAX);
        match &self.object {
            Object::Input(end) => end.ready(Interest::READ).into(),
            Object::Output(_) => 0,
            Object::Node { node, position } => match node.kind {
                Kind::Device(_) => 1,
                _ => node.size().saturating_sub(*position),
            },
            Object::Listener(listener) => listener.ready().into(),
            Object::Connection(connection) => count(connection.available()),
        }
    }

    fn progress(&mut self) {
        match &mut self.object {
            Object::Listener(listener) => listener.progress(),
            Object::Connection(connection) => connection.progress(),
            Object::Input(_) | Object::Output(_) | Object::Node { .. } => {}
        }
    }

    fn register<'fd>(&'fd self, set: &mut PollSet<'fd>, interest: Interest) {
        match &self.object {
            Object::Input(end) | Object::Output(end) => set.add(end.fd(), interest),
            Object::Node { .. } => {}
            Object::Listener(listener) => listener.register(set),
            Object::Connection(connection) => connection.register(set, interest),
        }
    }
}

/// All descriptors of a workload, by number.
#[derive(Debug)]
pub(crate) struct Table {
    slots: Vec<Option<Descriptor>>,
    limit: usize,
}

impl Table {
    /// An empty table for at most `limit` descriptors.
    pub(crate) fn new(limit: u32) -> Self {
        Self { slots: Vec::new(), limit: usize::try_from(limit).unwrap_or(usize::MAX) }
    }

    /// Puts a descriptor at the lowest free number.
    ///
    /// # Errors
    /// [`Errno::TooManyFiles`].
    pub(crate) fn insert(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        let index = self.free()?;
        match self.slots.get_mut(index) {
            Some(slot) => *slot = Some(descriptor),
            None => self.slots.push(Some(descriptor)),
        }
        u32::try_from(index).map_err(|_| Errno::TooManyFiles)
    }

    /// The number that the next descriptor gets.
    ///
    /// # Errors
    /// [`Errno::TooManyFiles`].
    pub(crate) fn free(&self) -> Result<usize, Errno> {
        let index = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        (index < self.limit).then_some(index).ok_or(Errno::TooManyFiles)
    }

    /// The descriptor `fd`.
    ///
    /// # Errors
    /// [`Errno::BadFd`].
    pub(crate) fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        let slot = usize::try_from(fd).ok().and_then(|index| self.slots.get(index));
        slot.and_then(Option::as_ref).ok_or(Errno::BadFd)
    }

    /// The descriptor `fd`, to be changed.
    ///
    /// # Errors
    /// [`Errno::BadFd`].
    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        let slot = usize::try_from(fd).ok().and_then(|index| self.slots.get_mut(index));
        slot.and_then(Option::as_mut).ok_or(Errno::BadFd)
    }

    /// Takes the descriptor `fd` out.
    ///
    /// # Errors
    /// [`Errno::BadFd`].
    pub(crate) fn remove(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        let slot = usize::try_from(fd).ok().and_then(|index| self.slots.get_mut(index));
        slot.and_then(Option::take).ok_or(Errno::BadFd)
    }

    /// Moves `from` to `to`, which is closed. Both must be open.
    ///
    /// # Errors
    /// [`Errno::BadFd`].
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(to)?;
        self.get(from)?;
        if from != to {
            let descriptor = self.remove(from)?;
            *self.get_mut(to)? = descriptor;
        }
        Ok(())
    }

    /// Numbers of the open connections.
    pub(crate) fn connections(&self) -> impl Iterator<Item = u32> {
        let is_connection = |slot: &Option<Descriptor>| {
            matches!(slot, Some(Descriptor { object: Object::Connection(_), .. }))
        };
        (0..).zip(&self.slots).filter(move |(_fd, slot)| is_connection(slot)).map(|(fd, _slot)| fd)
    }

    /// Lets every socket go on with what needs no waiting.
    pub(crate) fn progress(&mut self) {
        for descriptor in self.slots.iter_mut().flatten() {
            descriptor.progress();
        }
    }

    /// Waits until one of `wanted` may be ready, a socket can go on with work of its own, or the time is over. To be called
    /// after [`Self::progress`], when none of `wanted` is ready; may return early.
    pub(crate) fn wait(
        &self,
        wanted: impl IntoIterator<Item = (u32, Interest)>,
        timeout: Option<Duration>,
    ) -> Result<(), Errno> {
        let mut interests = vec![Interest::NONE; self.slots.len()];
        for (fd, interest) in wanted {
            let index = usize::try_from(fd).map_err(|_| Errno::BadFd)?;
            let entry = interests.get_mut(index).ok_or(Errno::BadFd)?;
            entry.read |= interest.read;
            entry.write |= interest.write;
        }
        let mut set = PollSet::new();
        for (slot, interest) in self.slots.iter().zip(interests) {
            if let Some(descriptor) = slot {
                descriptor.register(&mut set, interest);
            }
        }
        set.wait(timeout)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Budget, build};

    fn node() -> Descriptor {
        Descriptor::node(build(Vec::new(), &Budget::new(1 << 20), 0).unwrap())
    }

    #[test]
    fn numbers_are_used_again_and_bounded() {
        let mut table = Table::new(3);
        for fd in 0..3 {
            assert_eq!(table.insert(node()), Ok(fd));
        }
        assert_eq!(table.insert(node()), Err(Errno::TooManyFiles));
        table.remove(1).unwrap();
        assert_eq!(table.remove(1).unwrap_err(), Errno::BadFd);
        assert_eq!(table.insert(node()), Ok(1));
        table.renumber(2, 0).unwrap();
        assert_eq!(table.get(2).unwrap_err(), Errno::BadFd);
        assert_eq!(table.renumber(0, 2), Err(Errno::BadFd));
        assert_eq!(table.get(u32::MAX).unwrap_err(), Errno::BadFd);
    }

    #[test]
    fn host_ends_never_block() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (input, output) = (HostEnd(Box::new(reader)), HostEnd(Box::new(writer)));
        let mut buffer = [0; 8];
        assert_eq!(input.read(&mut buffer), Err(Errno::Again));
        assert_eq!(output.write(b"hello"), Ok(5));
        assert_eq!(input.read(&mut buffer), Ok(5));
        while output.write(&[0; 1 << 20]).is_ok_and(|count| count == PIPE_BYTES) {}
        assert_eq!(output.write(b"x"), Err(Errno::Again));
        drop(output);
        while input.read(&mut [0; 1 << 16]).is_ok_and(|count| count > 0) {}
        assert_eq!(input.read(&mut buffer), Ok(0));
    }
}
