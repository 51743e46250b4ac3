// SPDX-License-Identifier: Apache-2.0

//! The guest's memory: every address and length in it is the guest's allegation, checked at each use.

use types::limits;

use super::abi::Errno;

/// A part of the guest's memory, inside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    start: usize,
    len: usize,
}

impl Buffer {
    /// Length in bytes.
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// What is left of it after its first `count` bytes.
    pub(crate) fn after(self, count: usize) -> Self {
        let count = count.min(self.len);
        Self { start: self.start + count, len: self.len - count }
    }
}

/// The guest's memory during one call. It does not change its size meanwhile.
#[derive(Debug)]
pub(crate) struct Memory<'m>(pub(crate) &'m mut [u8]);

impl Memory<'_> {
    /// Checks that `len` bytes at `start` are inside.
    pub(crate) fn buffer(&self, start: u32, len: u32) -> Result<Buffer, Errno> {
        let start = usize::try_from(start).map_err(|_| Errno::Fault)?;
        let len = usize::try_from(len).map_err(|_| Errno::Fault)?;
        let inside = start.checked_add(len).is_some_and(|end| end <= self.0.len());
        inside.then_some(Buffer { start, len }).ok_or(Errno::Fault)
    }

    /// The buffers that an array of `count` pairs (address, length) at `start` describes: at most
    /// [`limits::GUEST_BUFFERS_MAX`], 4 GiB together.
    pub(crate) fn buffers(&self, start: u32, count: u32) -> Result<Vec<Buffer>, Errno> {
        let bounded = usize::try_from(count).is_ok_and(|count| count <= limits::GUEST_BUFFERS_MAX);
        if !bounded {
            return Err(Errno::Invalid);
        }
        let pairs = self.bytes(self.buffer(start, count * 8)?);
        let mut total = 0u32;
        let (pairs, _none) = pairs.as_chunks::<8>();
        pairs
            .iter()
            .map(|&[a, b, c, d, e, f, g, h]| {
                let (at, len) =
                    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
                total = total.checked_add(len).ok_or(Errno::Invalid)?;
                self.buffer(at, len)
            })
            .collect()
    }

    /// The bytes of `buffer`.
    pub(crate) fn bytes(&self, buffer: Buffer) -> &[u8] {
        self.0.get(buffer.start..buffer.start + buffer.len).unwrap_or_default()
    }

    /// The bytes of `buffer`, to be written.
    pub(crate) fn bytes_mut(&mut self, buffer: Buffer) -> &mut [u8] {
        self.0.get_mut(buffer.start..buffer.start + buffer.len).unwrap_or_default()
    }

    /// A path or name of the guest: UTF-8 without zero bytes, at most [`limits::GUEST_PATH_BYTES_MAX`].
    pub(crate) fn path(&self, start: u32, len: u32) -> Result<&str, Errno> {
        let bytes = self.bytes(self.buffer(start, len)?);
        if bytes.len() > limits::GUEST_PATH_BYTES_MAX {
            return Err(Errno::NameTooLong);
        }
        let path = str::from_utf8(bytes).map_err(|_| Errno::IllegalSequence)?;
        if path.contains('\0') {
            return Err(Errno::Invalid);
        }
        Ok(path)
    }

    /// Writes `bytes` at `start`.
    pub(crate) fn write(&mut self, start: u32, bytes: &[u8]) -> Result<(), Errno> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::Fault)?;
        let buffer = self.buffer(start, len)?;
        self.bytes_mut(buffer).copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a 32-bit number at `start`.
    pub(crate) fn write_u32(&mut self, start: u32, value: u32) -> Result<(), Errno> {
        self.write(start, &value.to_le_bytes())
    }

    /// Writes a 64-bit number at `start`.
    pub(crate) fn write_u64(&mut self, start: u32, value: u64) -> Result<(), Errno> {
        self.write(start, &value.to_le_bytes())
    }

    /// Writes a length at `start`, where it fits 32 bits.
    pub(crate) fn write_len(&mut self, start: u32, len: usize) -> Result<(), Errno> {
        self.write_u32(start, u32::try_from(len).map_err(|_| Errno::Overflow)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allegations_are_checked() {
        let mut bytes = [0; 64];
        let mut memory = Memory(&mut bytes);
        assert!(memory.buffer(0, 64).is_ok());
        assert!(memory.buffer(64, 0).is_ok());
        assert_eq!(memory.buffer(64, 1), Err(Errno::Fault));
        assert_eq!(memory.buffer(u32::MAX, u32::MAX), Err(Errno::Fault));
        assert_eq!(memory.write_u64(57, 1), Err(Errno::Fault));
        memory.write_u64(56, 1).unwrap();
        assert_eq!(memory.path(0, 65), Err(Errno::Fault));
        assert_eq!(memory.path(0, 1), Err(Errno::Invalid));
        memory.write(0, &[0xff]).unwrap();
        assert_eq!(memory.path(0, 1), Err(Errno::IllegalSequence));
    }

    #[test]
    fn arrays_of_buffers_are_checked() {
        let mut bytes = [0; 64];
        let mut memory = Memory(&mut bytes);
        memory.write(0, &[8, 0, 0, 0, 4, 0, 0, 0, 60, 0, 0, 0, 4, 0, 0, 0]).unwrap();
        let buffers = memory.buffers(0, 2).unwrap();
        assert_eq!(buffers.iter().map(|b| b.len()).collect::<Vec<_>>(), [4, 4]);
        memory.write(8, &[61]).unwrap();
        assert_eq!(memory.buffers(0, 2), Err(Errno::Fault));
        assert_eq!(memory.buffers(60, 1), Err(Errno::Fault));
        assert_eq!(memory.buffers(0, u32::MAX), Err(Errno::Invalid));
        assert_eq!(memory.buffers(0, 1025), Err(Errno::Invalid));
        assert_eq!(memory.buffers(0, 0).unwrap(), []);
    }
}
