// SPDX-License-Identifier: Apache-2.0

//! One connection of the workload: plain or TLS, over a socket that never blocks.
//!
//! Buffers are bounded: at most [`INBOX_BYTES`] of received data wait for the reader beside what rustls holds (one
//! record), and a write is taken only once the former one has left for the kernel, [`OUTBOX_BYTES`] at a time.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use types::peer::Peer;

use crate::net::shared::{Permit, Shared};
use crate::poll::{Interest, PollSet};

/// Most bytes read ahead of the reader.
const INBOX_BYTES: usize = 16 * 1024;
/// Most bytes of one write that wait for the kernel to take them.
pub(crate) const OUTBOX_BYTES: usize = 64 * 1024;
/// Most records looked at in one go, so that a peer that sends many empty ones does not keep the Keep busy.
const RECORDS_AT_ONCE: usize = 32;

/// An established connection: where the protocol is TLS, the handshake is over and the peer was let in.
pub struct Connection {
    socket: TcpStream,
    layer: Layer,
    remote: SocketAddr,
    peer: Peer,
    inbox: Vec<u8>,
    taken: usize,
    incoming: Incoming,
    outgoing: Outgoing,
    shared: Arc<Shared>,
    _permit: Permit,
}

pub(crate) enum Layer {
    Plain { outbox: Vec<u8>, sent: usize },
    Tls(Box<rustls::Connection>),
}

/// What is known of the receiving direction.
enum Incoming {
    Open,
    Ended,
    Failed(io::ErrorKind, String),
}

/// What is known of the sending direction.
enum Outgoing {
    Open,
    /// Everything is written; the socket's half is shut once it has left.
    Closing,
    Closed,
    Failed(io::ErrorKind, String),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("remote", &self.remote)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection over `socket`, which must not block.
    pub(crate) fn new(
        socket: TcpStream,
        layer: Layer,
        remote: SocketAddr,
        peer: Peer,
        shared: Arc<Shared>,
        permit: Permit,
    ) -> Self {
        Self {
            socket,
            layer,
            remote,
            peer,
            inbox: Vec::new(),
            taken: 0,
            incoming: Incoming::Open,
            outgoing: Outgoing::Open,
            shared,
            _permit: permit,
        }
    }

    /// Who is at the other end, as far as it is proved.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Address of the other end, as the host tells it.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Takes up to `buffer.len()` received bytes; 0: the other end has said that it is done.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing is there yet; [`io::ErrorKind::UnexpectedEof`] for TLS that ends without
    /// saying so (somebody may have cut it off); [`io::ErrorKind::InvalidData`] for broken TLS; what the socket says.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.flush();
        if self.available() == 0 {
            if buffer.len() >= INBOX_BYTES {
                return self.pull(buffer);
            }
            self.fill();
        }
        let count = self.peek(buffer)?;
        self.taken += count;
        if self.taken == self.inbox.len() {
            self.inbox = Vec::new();
            self.taken = 0;
        }
        Ok(count)
    }

    /// Like [`Self::read`], but leaves the bytes where they are.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.available() == 0 {
            self.fill();
        }
        let waiting = self.inbox.get(self.taken..).unwrap_or_default();
        if waiting.is_empty() {
            return self.incoming.outcome();
        }
        let count = waiting.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(waiting) {
            *to = *from;
        }
        Ok(count)
    }

    /// Takes bytes to send; how many of them.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if the former ones have not left yet; [`io::ErrorKind::BrokenPipe`] after
    /// [`Self::shutdown`]; what the socket says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush();
        match &self.outgoing {
            Outgoing::Open => {}
            Outgoing::Failed(kind, message) => return Err(io::Error::new(*kind, message.clone())),
            Outgoing::Closing | Outgoing::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.pending() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = bytes.get(..OUTBOX_BYTES).unwrap_or(bytes);
        let count = match &mut self.layer {
            Layer::Plain { outbox, sent } => match (&self.socket).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Taken all the same, so that "writable" means the same as with TLS: nothing waits.
                    outbox.extend_from_slice(bytes);
                    *sent = 0;
                    bytes.len()
                }
                other => other?,
            },
            Layer::Tls(tls) => tls.writer().write(bytes)?,
        };
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.flush();
        Ok(count)
    }

    /// Ends one direction or both. What was written is still delivered, and the other end is told that no more comes.
    ///
    /// # Errors
    /// What the socket says.
    pub fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            self.incoming = Incoming::Ended;
            self.inbox = Vec::new();
            self.taken = 0;
        }
        if matches!(how, Shutdown::Write | Shutdown::Both)
            && matches!(self.outgoing, Outgoing::Open)
        {
            if let Layer::Tls(tls) = &mut self.layer {
                tls.send_close_notify();
            }
            self.outgoing = Outgoing::Closing;
            self.flush();
        }
        Ok(())
    }

    /// Whether a read would not block: there are bytes, or the end, or an error.
    pub fn readable(&self) -> bool {
        self.available() > 0 || !matches!(self.incoming, Incoming::Open)
    }

    /// Whether a write would not block: there is room, or an error.
    pub fn writable(&self) -> bool {
        !(matches!(self.outgoing, Outgoing::Open) && self.pending())
    }

    /// Bytes that a read gets at once.
    pub fn available(&self) -> usize {
        self.inbox.len().saturating_sub(self.taken)
    }

    /// Moves bytes between socket and buffers, as far as that goes without waiting.
    pub fn progress(&mut self) {
        self.shared.progress();
        self.flush();
        if self.available() == 0 {
            self.fill();
        }
    }

    /// Adds to `set` what has to happen before [`Self::progress`] gets any further.
    pub fn register<'a>(&'a self, set: &mut PollSet<'a>, interest: Interest) {
        self.shared.register(set);
        let read = interest.read && !self.readable();
        // Bytes on their way out leave whatever the guest waits for.
        let write =
            self.pending() && !matches!(self.outgoing, Outgoing::Failed(..) | Outgoing::Closed);
        set.add(self.socket.as_fd(), Interest { read, write });
    }

    /// Whether written bytes still wait for the kernel.
    fn pending(&self) -> bool {
        match &self.layer {
            Layer::Plain { outbox, sent } => *sent < outbox.len(),
            Layer::Tls(tls) => tls.wants_write(),
        }
    }

    /// Hands to the kernel what it takes.
    fn flush(&mut self) {
        if matches!(self.outgoing, Outgoing::Failed(..) | Outgoing::Closed) {
            return;
        }
        while self.pending() {
            let written = match &mut self.layer {
                Layer::Plain { outbox, sent } => (&self.socket)
                    .write(outbox.get(*sent..).unwrap_or_default())
                    .inspect(|count| *sent += count),
                Layer::Tls(tls) => tls.write_tls(&mut &self.socket),
            };
            match written {
                Ok(0) => return self.fail_outgoing(&io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.fail_outgoing(&error),
            }
        }
        if let Layer::Plain { outbox, sent } = &mut self.layer {
            *outbox = Vec::new();
            *sent = 0;
        }
        if matches!(self.outgoing, Outgoing::Closing) {
            self.outgoing = Outgoing::Closed;
            // The other end may be gone already, which is just as well.
            let _shut = self.socket.shutdown(Shutdown::Write);
        }
    }

    fn fail_outgoing(&mut self, error: &io::Error) {
        self.outgoing = Outgoing::Failed(error.kind(), error.to_string());
    }

    /// Reads ahead into the inbox.
    fn fill(&mut self) {
        if !matches!(self.incoming, Incoming::Open) {
            return;
        }
        let mut inbox = [0; INBOX_BYTES];
        // The end and errors are kept in `incoming`, for the reader.
        let count = self.pull(&mut inbox).unwrap_or(0);
        self.inbox = inbox.get(..count).unwrap_or_default().to_vec();
        self.taken = 0;
    }

    /// Takes bytes from socket or TLS. The end and errors other than `WouldBlock` stay.
    fn pull(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !matches!(self.incoming, Incoming::Open) {
            return self.incoming.outcome();
        }
        let pulled = match &mut self.layer {
            Layer::Plain { .. } => loop {
                match (&self.socket).read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other,
                }
            },
            Layer::Tls(tls) => pull_tls(tls, &self.socket, buffer),
        };
        match &pulled {
            Ok(0) => self.incoming = Incoming::Ended,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return pulled,
            Err(error) => self.incoming = Incoming::Failed(error.kind(), error.to_string()),
        }
        // Processing may have queued an alert or an answer.
        self.flush();
        if let (Layer::Tls(_), Incoming::Failed(io::ErrorKind::InvalidData, message)) =
            (&self.layer, &self.incoming)
        {
            self.outgoing = Outgoing::Failed(io::ErrorKind::ConnectionAborted, message.clone());
        }
        match pulled {
            Ok(count) if count > 0 => Ok(count),
            _ => self.incoming.outcome(),
        }
    }
}

impl Incoming {
    fn outcome(&self) -> io::Result<usize> {
        match self {
            Self::Open => Err(io::ErrorKind::WouldBlock.into()),
            Self::Ended => Ok(0),
            Self::Failed(kind, message) => Err(io::Error::new(*kind, message.clone())),
        }
    }
}

/// Takes decrypted bytes, reading records from `socket` while there are none. Bytes that came before a broken record are
/// handed out before the error.
fn pull_tls(
    tls: &mut rustls::Connection,
    mut socket: &TcpStream,
    buffer: &mut [u8],
) -> io::Result<usize> {
    for round in 0..=RECORDS_AT_ONCE {
        let broken = tls.process_new_packets().err();
        match (tls.reader().read(buffer), broken) {
            (Ok(count @ 1..), _) => return Ok(count),
            (_, Some(error)) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string()));
            }
            (Ok(_), None) => return Ok(0),
            (Err(error), None) => match error.kind() {
                io::ErrorKind::WouldBlock => {}
                io::ErrorKind::UnexpectedEof => {
                    let cut = "the connection ended without TLS saying so: data may be missing";
                    return Err(io::Error::new(error.kind(), cut));
                }
                _ => return Err(error),
            },
        }
        // Whatever is read is processed before this returns: what waits in the socket wakes a poll, what waits here does not.
        if round == RECORDS_AT_ONCE {
            break;
        }
        match tls.read_tls(&mut socket) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Closing tells the other end, and what was written before is still delivered.
        let _shut = self.shutdown(Shutdown::Write);
        if !matches!(self.outgoing, Outgoing::Closing) {
            return;
        }
        let mut rest = Vec::new();
        match &mut self.layer {
            Layer::Plain { outbox, sent } => {
                rest.extend_from_slice(outbox.get(*sent..).unwrap_or_default())
            }
            Layer::Tls(tls) => while matches!(tls.write_tls(&mut rest), Ok(count) if count > 0) {},
        }
        if let Ok(socket) = self.socket.try_clone() {
            self.shared.linger(socket, rest, true);
        }
    }
}
