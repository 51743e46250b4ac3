// SPDX-License-Identifier: Apache-2.0

//! The numbers of WASI preview 1 (`wasi_snapshot_preview1`), as its witx description gives them.

/// Error numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of POSIX")]
pub enum Errno {
    Access = 2,
    AddrInUse = 3,
    Again = 6,
    BadFd = 8,
    ConnAborted = 13,
    ConnRefused = 14,
    ConnReset = 15,
    Exist = 20,
    Fault = 21,
    FileTooBig = 22,
    HostUnreachable = 23,
    IllegalSequence = 25,
    Interrupted = 27,
    Invalid = 28,
    Io = 29,
    IsDirectory = 31,
    TooManyFiles = 33,
    NameTooLong = 37,
    TableFull = 41,
    NoBuffers = 42,
    NoDevice = 43,
    NoEntry = 44,
    NoSpace = 51,
    NotConnected = 53,
    NotDirectory = 54,
    NotEmpty = 55,
    NotSocket = 57,
    NotSupported = 58,
    Overflow = 61,
    Permission = 63,
    Pipe = 64,
    Protocol = 65,
    Range = 68,
    ReadOnly = 69,
    SeekPipe = 70,
    TimedOut = 73,
    NotCapable = 76,
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::WouldBlock => Self::Again,
            Kind::Interrupted => Self::Interrupted,
            Kind::BrokenPipe => Self::Pipe,
            Kind::ConnectionReset => Self::ConnReset,
            Kind::ConnectionAborted | Kind::UnexpectedEof => Self::ConnAborted,
            Kind::ConnectionRefused => Self::ConnRefused,
            Kind::NotConnected => Self::NotConnected,
            Kind::TimedOut => Self::TimedOut,
            Kind::InvalidData => Self::Protocol,
            Kind::InvalidInput => Self::Invalid,
            _ => Self::Io,
        }
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        std::io::Error::from(errno).into()
    }
}

/// File types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FileType {
    /// None of the others.
    Unknown = 0,
    /// A character device. With neither of the rights to seek and to tell it counts as a terminal.
    CharacterDevice = 2,
    /// A directory.
    Directory = 3,
    /// A file.
    Regular = 4,
    /// A listener or a connection.
    SocketStream = 6,
}

/// What may be done with a descriptor.
pub mod rights {
    /// Read, or receive.
    pub const FD_READ: u64 = 1 << 1;
    /// Seek.
    pub const FD_SEEK: u64 = 1 << 2;
    /// Change the flags.
    pub const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    /// Ask for the position.
    pub const FD_TELL: u64 = 1 << 5;
    /// Write, or send.
    pub const FD_WRITE: u64 = 1 << 6;
    /// Make room.
    pub const FD_ALLOCATE: u64 = 1 << 8;
    /// List a directory.
    pub const FD_READDIR: u64 = 1 << 14;
    /// Ask for the attributes.
    pub const FD_FILESTAT_GET: u64 = 1 << 21;
    /// Change the size.
    pub const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    /// Wait.
    pub const POLL_FD_READWRITE: u64 = 1 << 27;
    /// End one direction or both.
    pub const SOCK_SHUTDOWN: u64 = 1 << 28;
    /// Accept.
    pub const SOCK_ACCEPT: u64 = 1 << 29;

    /// All there are.
    pub const ALL: u64 = (1 << 30) - 1;
    /// Whatever concerns paths below a directory, and the directory itself.
    pub const DIRECTORY: u64 = FD_FDSTAT_SET_FLAGS
        | 1 << 0   // datasync
        | 1 << 4   // sync
        | 1 << 7   // advise
        | 0b1_1111 << 9 // create directory and file, link, open
        | FD_READDIR
        | 0b111_1111 << 15 // readlink, rename, path_filestat_*, fd_filestat_get
        | 1 << 23  // fd_filestat_set_times
        | 0b111 << 24; // symlink, remove, unlink
    /// Whatever concerns bytes in files.
    pub const FILE: u64 = 0b1_1111_1111 | 0b111 << 21 | POLL_FD_READWRITE;
    /// A stream of bytes in either direction, without position.
    pub const STREAM: u64 =
        FD_READ | FD_WRITE | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;
    /// A connection.
    pub const CONNECTION: u64 = STREAM | SOCK_SHUTDOWN;
    /// A listener.
    pub const LISTENER: u64 =
        FD_READ | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE | SOCK_ACCEPT;
    /// What a file that cannot change does not have.
    pub const WRITING: u64 = FD_WRITE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE;
}

/// Flags of a descriptor.
pub mod fdflags {
    /// Writes go to the end.
    pub const APPEND: u16 = 1;
    /// Calls that would have to wait fail with [`super::Errno::Again`].
    pub const NONBLOCK: u16 = 4;
    /// All there are; those not named are about disks and change nothing here.
    pub const ALL: u16 = 31;
}

/// Flags of `path_open`.
pub mod oflags {
    /// Create it unless it is there.
    pub const CREAT: u16 = 1;
    /// It must be a directory.
    pub const DIRECTORY: u16 = 2;
    /// It must not be there.
    pub const EXCL: u16 = 4;
    /// Empty it.
    pub const TRUNC: u16 = 8;
}

/// Flags of the calls that set timestamps.
pub mod fstflags {
    /// Set the time of the last access.
    pub const ATIM: u16 = 1;
    /// Set it to now.
    pub const ATIM_NOW: u16 = 2;
    /// Set the time of the last change of the content.
    pub const MTIM: u16 = 4;
    /// Set it to now.
    pub const MTIM_NOW: u16 = 8;
}

/// Clocks.
pub mod clocks {
    /// Time of day.
    pub const REALTIME: u32 = 0;
    /// Time that never goes back.
    pub const MONOTONIC: u32 = 1;
    /// Processor time of the Keep.
    pub const PROCESS_CPU: u32 = 2;
    /// Processor time of the guest.
    pub const THREAD_CPU: u32 = 3;
}

/// Flags of `sock_recv`.
pub mod riflags {
    /// Leave the bytes where they are.
    pub const PEEK: u16 = 1;
    /// Wait until the buffers are full.
    pub const WAITALL: u16 = 2;
}

/// Ways to end a connection.
pub mod sdflags {
    /// Nothing more to receive.
    pub const RD: u8 = 1;
    /// Nothing more to send.
    pub const WR: u8 = 2;
}
