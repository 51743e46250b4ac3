// SPDX-License-Identifier: Apache-2.0

//! What the file system wants of a network. The one of the Keep is [`crate::net`]; tests have their own.

use std::io;
use std::net::{IpAddr, Shutdown};

use types::config::Protocol;
use types::peer::Peer;

use crate::net::{Connection, Listener, NetError, Network};
use crate::poll::{Interest, PollSet};

/// Opens sockets, as far as the policy allows.
pub(crate) trait Opener {
    /// A listener for `/net/lis/<port>`.
    fn listen(&self, port: u16) -> Result<Box<dyn Acceptor>, NetError>;
    /// A connection for `/net/con/<host[:port]>`.
    fn connect(&self, host: &str, port: Option<u16>) -> Result<Box<dyn Stream>, NetError>;
    /// A listener for an entry of `[[files]]`.
    fn listen_entry(
        &self,
        addr: IpAddr,
        port: u16,
        prot: Protocol,
    ) -> Result<Box<dyn Acceptor>, NetError>;
    /// A connection for an entry of `[[files]]`.
    fn connect_entry(
        &self,
        host: &str,
        port: u16,
        prot: Protocol,
    ) -> Result<Box<dyn Stream>, NetError>;
}

/// A listener. None of the calls waits.
pub(crate) trait Acceptor {
    /// A connection that is ready for use; [`io::ErrorKind::WouldBlock`] if there is none.
    fn accept(&mut self) -> io::Result<Box<dyn Stream>>;
    /// Whether [`Self::accept`] has one.
    fn ready(&self) -> bool;
    /// Goes on with what needs no waiting.
    fn progress(&mut self);
    /// Adds to `set` what has to happen before [`Self::progress`] gets any further.
    fn register<'fd>(&'fd self, set: &mut PollSet<'fd>);
}

/// A connection. None of the calls waits: they fail with [`io::ErrorKind::WouldBlock`] instead.
pub(crate) trait Stream {
    /// Reads; 0 is the end.
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize>;
    /// Like [`Self::read`], but the bytes stay.
    fn peek(&mut self, to: &mut [u8]) -> io::Result<usize>;
    /// Writes.
    fn write(&mut self, from: &[u8]) -> io::Result<usize>;
    /// Ends one direction or both.
    fn shutdown(&mut self, how: Shutdown) -> io::Result<()>;
    /// Whether a read would not wait.
    fn readable(&self) -> bool;
    /// Whether a write would not wait.
    fn writable(&self) -> bool;
    /// Bytes that a read gets at once.
    fn available(&self) -> usize;
    /// Who is at the other end.
    fn peer(&self) -> &Peer;
    /// Goes on with what needs no waiting.
    fn progress(&mut self);
    /// Adds to `set` what has to happen before [`Self::progress`] gets any further.
    fn register<'fd>(&'fd self, set: &mut PollSet<'fd>, interest: Interest);
}

impl Opener for Network {
    fn listen(&self, port: u16) -> Result<Box<dyn Acceptor>, NetError> {
        Ok(Box::new(self.listen(port)?))
    }
    fn connect(&self, host: &str, port: Option<u16>) -> Result<Box<dyn Stream>, NetError> {
        Ok(Box::new(self.connect(host, port)?))
    }
    fn listen_entry(
        &self,
        addr: IpAddr,
        port: u16,
        prot: Protocol,
    ) -> Result<Box<dyn Acceptor>, NetError> {
        Ok(Box::new(self.listen_entry(addr, port, prot)?))
    }
    fn connect_entry(
        &self,
        host: &str,
        port: u16,
        prot: Protocol,
    ) -> Result<Box<dyn Stream>, NetError> {
        Ok(Box::new(self.connect_entry(host, port, prot)?))
    }
}

impl Acceptor for Listener {
    fn accept(&mut self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.accept()?))
    }
    fn ready(&self) -> bool {
        self.ready()
    }
    fn progress(&mut self) {
        self.progress();
    }
    fn register<'fd>(&'fd self, set: &mut PollSet<'fd>) {
        self.register(set);
    }
}

impl Stream for Connection {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.read(to)
    }
    fn peek(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.peek(to)
    }
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.write(from)
    }
    fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
    fn readable(&self) -> bool {
        self.readable()
    }
    fn writable(&self) -> bool {
        self.writable()
    }
    fn available(&self) -> usize {
        self.available()
    }
    fn peer(&self) -> &Peer {
        self.peer()
    }
    fn progress(&mut self) {
        self.progress();
    }
    fn register<'fd>(&'fd self, set: &mut PollSet<'fd>, interest: Interest) {
        self.register(set, interest);
    }
}
