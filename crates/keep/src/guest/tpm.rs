// SPDX-License-Identifier: Apache-2.0

//! As much of a TPM's language as a quote takes (TPM 2.0 Library, Part 2 and Part 3): big endian, every length checked, every
//! answer bounded. Authorisation is by empty password, as on a virtual machine whose owner set none.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
const RS_PASSWORD: u32 = 0x4000_0009;
const RH_OWNER: u32 = 0x4000_0001;
const CC_NV_DEFINE_SPACE: u32 = 0x12a;
const CC_NV_WRITE: u32 = 0x137;
const CC_NV_READ: u32 = 0x14e;
const CC_QUOTE: u32 = 0x158;
const CC_NV_READ_PUBLIC: u32 = 0x169;
const CC_PCR_READ: u32 = 0x17e;
const ALG_SHA256: u16 = 0x0b;
const ALG_NULL: u16 = 0x10;
const ALG_RSASSA: u16 = 0x14;
/// Owner and index itself may write and read: as Azure's own tools define it.
const NV_ATTRIBUTES: u32 = 1 << 1 | 1 << 2 | 1 << 17 | 1 << 18;

/// `TPM_RC_HANDLE` for the first handle: there is no such index.
const RC_NO_HANDLE: u32 = 0x18b;
/// Warnings that ask for another attempt: busy with a self test, out of time for NV memory, retry.
const RC_AGAIN: [u32; 3] = [0x90a, 0x920, 0x922];
const ATTEMPTS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(200);

/// Largest answer: `TPM2_MAX_RESPONSE_SIZE` of Linux and of the reference implementation.
const ANSWER_BYTES_MAX: usize = 4096;
/// Bytes of an index that are read or written at once; every TPM takes as many.
const CHUNK: u16 = 512;
/// Longest time that a TPM over a socket may take.
const SOCKET_PATIENCE: Duration = Duration::from_secs(20);

/// PCRs of a bank.
pub(super) const PCRS: u8 = 24;

/// Why a TPM is no help.
#[derive(Debug)]
pub enum TpmError {
    /// It cannot be spoken to.
    Io(io::Error),
    /// It refuses this command with this code.
    Refused(&'static str, u32),
    /// Its answer is not in the TPM's language.
    Malformed(&'static str),
    /// Its registers changed while they were read.
    Changed,
    /// The index is larger, or smaller, than such an index is: its bytes.
    Size(u32, u16),
    /// The report does not show what was written.
    Stale,
}

impl TpmError {
    /// Whether there is no such index.
    pub fn no_such_index(&self) -> bool {
        matches!(self, Self::Refused("NV_ReadPublic", RC_NO_HANDLE))
    }
}

impl fmt::Display for TpmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "it cannot be spoken to: {error}"),
            Self::Refused(command, code) => {
                write!(f, "it refuses {command} with code {code:#x}")
            }
            Self::Malformed(command) => write!(f, "its answer to {command} is malformed"),
            Self::Changed => f.write_str("its registers change while they are read"),
            Self::Size(index, bytes) => {
                write!(
                    f,
                    "its index {index:#010x} has {bytes} bytes, which is not what it should have"
                )
            }
            Self::Stale => {
                f.write_str("its report does not show the report data that were written")
            }
        }
    }
}

impl std::error::Error for TpmError {}

impl From<io::Error> for TpmError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Carries a command to a TPM, and its answer back.
pub(super) trait Transport {
    /// # Errors
    /// If the TPM cannot be spoken to.
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>>;
}

/// The kernel's device, or a socket on which a TPM listens (swtpm does).
#[derive(Debug)]
pub(super) enum Device {
    File(File),
    Socket(UnixStream),
}

impl Device {
    /// # Errors
    /// If there is none, or it cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if std::fs::metadata(path)?.file_type().is_socket() {
            let socket = UnixStream::connect(path)?;
            socket.set_read_timeout(Some(SOCKET_PATIENCE))?;
            socket.set_write_timeout(Some(SOCKET_PATIENCE))?;
            return Ok(Self::Socket(socket));
        }
        File::options().read(true).write(true).open(path).map(Self::File)
    }
}

impl Transport for Device {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        let count = match self {
            // The kernel takes a command at once, and gives the answer at once.
            Self::File(file) => {
                file.write_all(command)?;
                file.read(&mut answer)?
            }
            Self::Socket(socket) => {
                socket.write_all(command)?;
                let (head, rest) = answer.split_at_mut(10);
                socket.read_exact(head)?;
                let length = head.get(2..6).and_then(|bytes| bytes.try_into().ok());
                let length = usize::try_from(u32::from_be_bytes(length.unwrap_or_default()));
                let body = length.ok().and_then(|length| rest.get_mut(..length.checked_sub(10)?));
                let body = body.ok_or(io::ErrorKind::InvalidData)?;
                socket.read_exact(body)?;
                10 + body.len()
            }
        };
        answer.truncate(count);
        Ok(answer)
    }
}

/// Reads an answer.
struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// TPM2B: a length of two bytes, and as many bytes.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.take(count.into())
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// A TPM2B.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
    [&length[..], bytes].concat()
}

/// Registers of the SHA-256 bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pcrs {
    /// Counts changes.
    pub(super) counter: u32,
    /// By index.
    pub(super) values: BTreeMap<u8, [u8; 32]>,
}

/// A quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quote {
    /// TPMS_ATTEST, as signed.
    pub(super) message: Vec<u8>,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub(super) signature: Vec<u8>,
}

/// A TPM.
pub(super) struct Tpm<T>(pub(super) T);

impl<T: Transport> Tpm<T> {
    /// Sends a command with these handles, authorised by an empty password if `authorised`, and returns what follows the header
    /// of the answer (and the length of the parameters).
    fn send(
        &mut self,
        name: &'static str,
        code: u32,
        handles: &[u32],
        authorised: bool,
        parameters: &[u8],
    ) -> Result<Vec<u8>, TpmError> {
        let mut body = Vec::new();
        for handle in handles {
            body.extend(handle.to_be_bytes());
        }
        if authorised {
            // One session: the password's, with no nonce, no attribute, no password.
            let session = [&RS_PASSWORD.to_be_bytes()[..], &[0; 5]].concat();
            body.extend(u32::try_from(session.len()).unwrap_or(0).to_be_bytes());
            body.extend(session);
        }
        body.extend(parameters);
        let tag = if authorised { SESSIONS } else { NO_SESSIONS };
        let length = u32::try_from(body.len() + 10).unwrap_or(u32::MAX);
        let mut command = tag.to_be_bytes().to_vec();
        command.extend(length.to_be_bytes());
        command.extend(code.to_be_bytes());
        command.extend(body);
        for attempt in 1.. {
            let answer = self.0.exchange(&command)?;
            let (refusal, parameters) =
                open(&answer, authorised).ok_or(TpmError::Malformed(name))?;
            match refusal {
                0 => return Ok(parameters.to_vec()),
                code if RC_AGAIN.contains(&code) && attempt < ATTEMPTS => {
                    std::thread::sleep(PAUSE);
                }
                code => return Err(TpmError::Refused(name, code)),
            }
        }
        Err(TpmError::Malformed(name))
    }

    /// Bytes of an index.
    ///
    /// # Errors
    /// [`TpmError`]; [`TpmError::no_such_index`] if there is none.
    pub(super) fn nv_size(&mut self, index: u32) -> Result<u16, TpmError> {
        const NAME: &str = "NV_ReadPublic";
        let answer = self.send(NAME, CC_NV_READ_PUBLIC, &[index], false, &[])?;
        let size = || {
            let mut public = Answer(Answer(&answer).sized()?);
            let (found, _algorithm, _attributes) = (public.u32()?, public.u16()?, public.u32()?);
            public.sized()?;
            let size = public.u16()?;
            public.end()?;
            (found == index).then_some(size)
        };
        size().ok_or(TpmError::Malformed(NAME))
    }

    /// The contents of an index of at most `limit` bytes.
    ///
    /// # Errors
    /// [`TpmError`].
    pub(super) fn nv_read(&mut self, index: u32, limit: u16) -> Result<Vec<u8>, TpmError> {
        const NAME: &str = "NV_Read";
        let size = self.nv_size(index)?;
        if size > limit {
            return Err(TpmError::Size(index, size));
        }
        let mut bytes = Vec::new();
        let mut offset = 0;
        while offset < size {
            let count = CHUNK.min(size - offset);
            let parameters = [count.to_be_bytes(), offset.to_be_bytes()].concat();
            let answer = self.send(NAME, CC_NV_READ, &[RH_OWNER, index], true, &parameters)?;
            let part = Answer(&answer).sized().ok_or(TpmError::Malformed(NAME))?;
            if part.len() != usize::from(count) {
                return Err(TpmError::Malformed(NAME));
            }
            bytes.extend(part);
            offset += count;
        }
        Ok(bytes)
    }

    /// Writes the whole of an index, which is defined if there is none.
    ///
    /// # Errors
    /// [`TpmError`].
    pub(super) fn nv_write(&mut self, index: u32, bytes: &[u8]) -> Result<(), TpmError> {
        let wanted = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        match self.nv_size(index) {
            Ok(size) if size == wanted => {}
            Ok(size) => return Err(TpmError::Size(index, size)),
            Err(error) if error.no_such_index() => self.nv_define(index, wanted)?,
            Err(error) => return Err(error),
        }
        let parameters = [&sized(bytes)[..], &0_u16.to_be_bytes()].concat();
        self.send("NV_Write", CC_NV_WRITE, &[RH_OWNER, index], true, &parameters).map(drop)
    }

    fn nv_define(&mut self, index: u32, size: u16) -> Result<(), TpmError> {
        let mut public = index.to_be_bytes().to_vec();
        public.extend(ALG_SHA256.to_be_bytes());
        public.extend(NV_ATTRIBUTES.to_be_bytes());
        public.extend(sized(&[]));
        public.extend(size.to_be_bytes());
        let parameters = [sized(&[]), sized(&public)].concat();
        self.send("NV_DefineSpace", CC_NV_DEFINE_SPACE, &[RH_OWNER], true, &parameters).map(drop)
    }

    /// All registers of the SHA-256 bank.
    ///
    /// # Errors
    /// [`TpmError`].
    pub(super) fn pcrs(&mut self) -> Result<Pcrs, TpmError> {
        const NAME: &str = "PCR_Read";
        let mut all = Pcrs { counter: 0, values: BTreeMap::new() };
        let mut missing: u32 = (1 << PCRS) - 1;
        while missing != 0 {
            let answer = self.send(NAME, CC_PCR_READ, &[], false, &selection(missing))?;
            let (counter, values) = registers(&answer, missing).ok_or(TpmError::Malformed(NAME))?;
            if !all.values.is_empty() && counter != all.counter {
                return Err(TpmError::Changed);
            }
            all.counter = counter;
            for (index, value) in values {
                missing &= !(1 << index);
                all.values.insert(index, value);
            }
        }
        Ok(all)
    }

    /// A quote over all registers of the SHA-256 bank, by the key at `handle`.
    ///
    /// # Errors
    /// [`TpmError`].
    pub(super) fn quote(&mut self, handle: u32, qualifying: &[u8]) -> Result<Quote, TpmError> {
        const NAME: &str = "Quote";
        let all = selection((1 << PCRS) - 1);
        let parameters = [&sized(qualifying)[..], &ALG_NULL.to_be_bytes(), &all].concat();
        let answer = self.send(NAME, CC_QUOTE, &[handle], true, &parameters)?;
        let quote = || {
            let mut answer = Answer(&answer);
            let message = answer.sized()?.to_vec();
            let rsassa = answer.u16()? == ALG_RSASSA && answer.u16()? == ALG_SHA256;
            let signature = answer.sized()?.to_vec();
            rsassa.then_some(Quote { message, signature })
        };
        quote().ok_or(TpmError::Malformed(NAME))
    }
}

/// The code of an answer, and its parameters.
fn open(answer: &[u8], authorised: bool) -> Option<(u32, &[u8])> {
    let mut reader = Answer(answer);
    let (tag, length, code) = (reader.u16()?, reader.u32()?, reader.u32()?);
    if usize::try_from(length).ok()? != answer.len() {
        return None;
    }
    if code != 0 {
        return Some((code, &[]));
    }
    if tag != (if authorised { SESSIONS } else { NO_SESSIONS }) {
        return None;
    }
    if !authorised {
        return Some((0, reader.0));
    }
    let count = usize::try_from(reader.u32()?).ok()?;
    Some((0, reader.take(count)?))
}

/// TPML_PCR_SELECTION: these registers of the SHA-256 bank.
fn selection(bits: u32) -> Vec<u8> {
    let [a, b, c, _] = bits.to_le_bytes();
    [&1_u32.to_be_bytes()[..], &ALG_SHA256.to_be_bytes(), &[3, a, b, c]].concat()
}

/// An answer of PCR_Read: the counter, and some of the registers that were asked for, at least one.
#[allow(clippy::type_complexity, reason = "read once, by its only caller")]
fn registers(answer: &[u8], asked: u32) -> Option<(u32, Vec<(u8, [u8; 32])>)> {
    let mut reader = Answer(answer);
    let counter = reader.u32()?;
    if reader.u32()? != 1 || reader.u16()? != ALG_SHA256 {
        return None;
    }
    let [3, a, b, c] = *reader.take(4)? else { return None };
    let given = u32::from_le_bytes([a, b, c, 0]);
    if given == 0 || given & !asked != 0 || reader.u32()? != given.count_ones() {
        return None;
    }
    let mut values = Vec::new();
    for index in (0..PCRS).filter(|index| given & (1 << index) != 0) {
        values.push((index, reader.sized()?.try_into().ok()?));
    }
    reader.end()?;
    Some((counter, values))
}

#[cfg(test)]
pub(super) mod fake;
#[cfg(test)]
mod tests;
