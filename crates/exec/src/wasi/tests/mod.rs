// SPDX-License-Identifier: Apache-2.0

//! Tests that call the functions as a guest does: with numbers, and a memory of its own.

mod files;
mod process;
mod sockets;
mod waiting;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};

use types::config::{Config, Protocol};
use types::peer::Peer;

use super::abi::{Errno, oflags, rights};
use super::context::{Context, Parts};
use super::memory::Memory;
use super::{fd, path};
use crate::clock::Clock;
use crate::net::{NetError, NetErrorKind};
use crate::poll::{Interest, PollSet};
use crate::runtime::{GuestLimits, RuntimeEvent, descriptors};
use crate::vfs::{Acceptor, Budget, Opener, Stream, build};

/// Where the tests keep things in the guest's memory.
const PATH: u32 = 0x100;
const PATH2: u32 = 0x300;
const IOVS: u32 = 0x500;
const RESULT: u32 = 0x600;
const DATA: u32 = 0x1000;

/// A guest without code.
struct Guest {
    context: Context,
    memory: Vec<u8>,
}

impl Guest {
    /// A guest with the descriptors of `config`; 3 is `/` if that lists none.
    fn of(config: &Config, network: Net, on: Rc<dyn Fn(RuntimeEvent)>) -> Self {
        let files = vec![
            ("main.wasm".to_owned(), b"wasm".to_vec()),
            ("etc/motd".to_owned(), b"hello, guest\n".to_vec()),
        ];
        let budget = Budget::new(1 << 20);
        let root = build(files, &budget, 1).unwrap();
        let context = Context::new(Parts {
            args: vec!["main.wasm".into(), "a b".into()],
            env: vec!["K=V".into()],
            table: descriptors(config, &network, root, 0).unwrap(),
            network: Box::new(network),
            clock: Clock::new(),
            limits: GuestLimits::new(budget),
            on,
        });
        Self { context, memory: vec![0; 0x10_0000] }
    }

    fn new() -> Self {
        Self::of(&Config::default(), Net::default(), Rc::new(|_event| {}))
    }

    fn on(network: Net) -> Self {
        Self::of(&Config::default(), network, Rc::new(|_event| {}))
    }

    fn call(
        &mut self,
        function: impl FnOnce(&mut Context, &mut Memory<'_>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        function(&mut self.context, &mut Memory(&mut self.memory))
    }

    fn put(&mut self, at: u32, bytes: &[u8]) -> u32 {
        Memory(&mut self.memory).write(at, bytes).unwrap();
        u32::try_from(bytes.len()).unwrap()
    }

    fn get(&self, at: u32, len: usize) -> &[u8] {
        let at = usize::try_from(at).unwrap();
        &self.memory[at..at + len]
    }

    fn u16(&self, at: u32) -> u16 {
        u16::from_le_bytes(self.get(at, 2).try_into().unwrap())
    }

    fn u32(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.get(at, 4).try_into().unwrap())
    }

    fn u64(&self, at: u32) -> u64 {
        u64::from_le_bytes(self.get(at, 8).try_into().unwrap())
    }

    /// One buffer of `len` bytes at [`DATA`].
    fn buffer(&mut self, len: u32) {
        self.put(IOVS, &DATA.to_le_bytes());
        self.put(IOVS + 4, &len.to_le_bytes());
    }

    fn open_with(&mut self, name: &str, flags: u16, base: u64, fdflags: u16) -> Result<u32, Errno> {
        let len = self.put(PATH, name.as_bytes());
        self.call(|context, memory| {
            let (flags, fdflags) = (flags.into(), fdflags.into());
            path::path_open(
                context,
                memory,
                3,
                0,
                PATH,
                len,
                flags,
                base,
                rights::ALL,
                fdflags,
                RESULT,
            )
        })?;
        Ok(self.u32(RESULT))
    }

    fn open(&mut self, name: &str) -> Result<u32, Errno> {
        self.open_with(name, 0, rights::ALL & !rights::WRITING, 0)
    }

    fn create(&mut self, name: &str) -> Result<u32, Errno> {
        self.open_with(name, oflags::CREAT, rights::ALL, 0)
    }

    fn read(&mut self, fd: u32, len: u32) -> Result<Vec<u8>, Errno> {
        self.buffer(len);
        self.call(|context, memory| fd::fd_read(context, memory, fd, IOVS, 1, RESULT))?;
        let count = usize::try_from(self.u32(RESULT)).unwrap();
        Ok(self.get(DATA, count).to_vec())
    }

    fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<u32, Errno> {
        let len = self.put(DATA, bytes);
        self.buffer(len);
        self.call(|context, memory| fd::fd_write(context, memory, fd, IOVS, 1, RESULT))?;
        Ok(self.u32(RESULT))
    }

    /// Calls a function with [`PATH`].
    fn at(
        &mut self,
        name: &str,
        function: impl FnOnce(&mut Context, &mut Memory<'_>, u32) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let len = self.put(PATH, name.as_bytes());
        self.call(|context, memory| function(context, memory, len))
    }
}

/// A network on the loopback: each port is a free one, of which `listening` hears; `server` is who is connected to.
#[derive(Default)]
struct Net {
    listening: Option<Sender<SocketAddr>>,
    server: Option<SocketAddr>,
}

fn refused<T>(message: &str) -> Result<T, NetError> {
    Err(NetError { kind: NetErrorKind::Policy, message: message.to_owned() })
}

impl Opener for Net {
    fn listen(&self, port: u16) -> Result<Box<dyn Acceptor>, NetError> {
        let Some(listening) = &self.listening else {
            return refused(&format!("no rule for port {port}"));
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        listening.send(listener.local_addr().unwrap()).unwrap();
        Ok(Box::new(Listener { listener, ready: None }))
    }

    fn connect(&self, host: &str, port: Option<u16>) -> Result<Box<dyn Stream>, NetError> {
        match (host, port, self.server) {
            ("server", Some(7), Some(server)) => {
                Ok(Box::new(Connection::new(TcpStream::connect(server).unwrap())))
            }
            _ => refused(&format!("no rule for {host}")),
        }
    }

    fn listen_entry(
        &self,
        _: IpAddr,
        port: u16,
        _: Protocol,
    ) -> Result<Box<dyn Acceptor>, NetError> {
        self.listen(port)
    }

    fn connect_entry(
        &self,
        host: &str,
        port: u16,
        _: Protocol,
    ) -> Result<Box<dyn Stream>, NetError> {
        self.connect(host, Some(port))
    }
}

struct Listener {
    listener: TcpListener,
    ready: Option<TcpStream>,
}

impl Acceptor for Listener {
    fn accept(&mut self) -> io::Result<Box<dyn Stream>> {
        self.progress();
        let stream = self.ready.take().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(Box::new(Connection::new(stream)))
    }
    fn ready(&self) -> bool {
        self.ready.is_some()
    }
    fn progress(&mut self) {
        if self.ready.is_none() {
            self.ready = self.listener.accept().ok().map(|(stream, _address)| stream);
        }
    }
    fn register<'fd>(&'fd self, set: &mut PollSet<'fd>) {
        set.add(self.listener.as_fd(), Interest { read: self.ready.is_none(), write: false });
    }
}

/// A connection that buffers what it received, like one with TLS.
struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    ended: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self { stream, inbox: Vec::new(), ended: false }
    }
}

impl Stream for Connection {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.peek(to)?;
        self.inbox.drain(..count);
        Ok(count)
    }
    fn peek(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.progress();
        let count = self.inbox.len().min(to.len());
        if count == 0 && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        to[..count].copy_from_slice(&self.inbox[..count]);
        Ok(count)
    }
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        (&self.stream).write(from)
    }
    fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        self.stream.shutdown(how)
    }
    fn readable(&self) -> bool {
        self.ended || !self.inbox.is_empty()
    }
    fn writable(&self) -> bool {
        let mut set = PollSet::new();
        set.add(self.stream.as_fd(), Interest::WRITE);
        set.wait(Some(std::time::Duration::ZERO)).unwrap() > 0
    }
    fn available(&self) -> usize {
        self.inbox.len()
    }
    fn peer(&self) -> &Peer {
        &Peer::Anonymous
    }
    fn progress(&mut self) {
        let mut buffer = [0; 4096];
        if self.inbox.is_empty() {
            match (&self.stream).read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => self.inbox.extend_from_slice(&buffer[..count]),
                Err(_) => {}
            }
        }
    }
    fn register<'fd>(&'fd self, set: &mut PollSet<'fd>, interest: Interest) {
        set.add(self.stream.as_fd(), interest);
    }
}

/// A guest with a listener, and where that listens.
fn serving() -> (Guest, u32, SocketAddr) {
    let (sender, receiver) = channel();
    let mut guest = Guest::on(Net { listening: Some(sender), server: None });
    let listener = guest.open("net/lis/50000").unwrap();
    (guest, listener, receiver.recv().unwrap())
}
