// SPDX-License-Identifier: Apache-2.0

//! Reading and writing: files in memory, files of the package, devices.

use std::sync::Arc;

use super::budget::Budget;
use super::node::{Device, Kind, Node};
use crate::wasi::abi::Errno;

/// Bytes of a file in memory. What its buffer holds is taken from the budget until it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    bytes: Vec<u8>,
    budget: Arc<Budget>,
}

/// A buffer grows by at most this much more than needed, bytes.
const SLACK_BYTES_MAX: usize = 16 * 1024 * 1024;

impl MemoryFile {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { bytes: Vec::new(), budget }
    }

    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Makes the file `size` bytes long; new bytes are zero.
    pub(crate) fn set_size(&mut self, size: u64) -> Result<(), Errno> {
        let size = usize::try_from(size).map_err(|_| Errno::FileTooBig)?;
        if size > self.bytes.len() {
            self.reserve(size)?;
            self.bytes.resize(size, 0);
        } else {
            self.bytes.truncate(size);
            let before = self.bytes.capacity();
            self.bytes.shrink_to(size);
            self.budget.give(length(before.saturating_sub(self.bytes.capacity())));
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, from: &[u8]) -> Result<usize, Errno> {
        if from.is_empty() {
            return Ok(0);
        }
        let end = offset.checked_add(length(from.len())).ok_or(Errno::FileTooBig)?;
        if end > self.size() {
            self.set_size(end)?;
        }
        let start = usize::try_from(offset).map_err(|_| Errno::FileTooBig)?;
        let to = self.bytes.get_mut(start..start + from.len()).ok_or(Errno::Io)?;
        to.copy_from_slice(from);
        Ok(from.len())
    }

    /// Gets room for `size` bytes: with slack for more if there is enough, else exactly as much.
    fn reserve(&mut self, size: usize) -> Result<(), Errno> {
        let before = self.bytes.capacity();
        if size <= before {
            return Ok(());
        }
        let slack = before.min(SLACK_BYTES_MAX);
        for wanted in [size.max(before.saturating_add(slack)), size] {
            let more = length(wanted - before);
            if !self.budget.take(more) {
                continue;
            }
            let additional = wanted - self.bytes.len();
            if self.bytes.try_reserve_exact(additional).is_ok() {
                // The allocator may have given more than asked for: that is its own affair.
                let got = length(self.bytes.capacity() - before);
                if got > more && !self.budget.take(got - more) {
                    self.bytes.shrink_to(wanted);
                }
                return Ok(());
            }
            self.budget.give(more);
        }
        Err(Errno::NoSpace)
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        self.budget.give(length(self.bytes.capacity()));
    }
}

impl Node {
    /// Reads at `offset`; 0 is the end.
    ///
    /// # Errors
    /// [`Errno::IsDirectory`]; [`Errno::Io`] if there is no randomness.
    pub(crate) fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<usize, Errno> {
        match &self.kind {
            Kind::Package(bytes) => Ok(copy_at(bytes, offset, to)),
            Kind::Memory(file) => Ok(copy_at(&file.borrow().bytes, offset, to)),
            Kind::Device(Device::Null) => Ok(0),
            Kind::Device(Device::Zero) => {
                to.fill(0);
                Ok(to.len())
            }
            Kind::Device(Device::Random) => {
                aws_lc_rs::rand::fill(to).map_err(|_| Errno::Io)?;
                Ok(to.len())
            }
            Kind::Directory(_) | Kind::Sockets(_) => Err(Errno::IsDirectory),
        }
    }

    /// Writes at `offset`; a gap before it becomes zero bytes.
    ///
    /// # Errors
    /// [`Errno::ReadOnly`], [`Errno::IsDirectory`], [`Errno::NoSpace`], [`Errno::FileTooBig`].
    pub(crate) fn write_at(&self, offset: u64, from: &[u8], now: u64) -> Result<usize, Errno> {
        match &self.kind {
            Kind::Memory(file) => {
                let written = file.borrow_mut().write_at(offset, from)?;
                self.changed(now);
                Ok(written)
            }
            Kind::Device(_) => Ok(from.len()),
            Kind::Package(_) => Err(Errno::ReadOnly),
            Kind::Directory(_) | Kind::Sockets(_) => Err(Errno::IsDirectory),
        }
    }

    /// Makes a file `size` bytes long.
    ///
    /// # Errors
    /// Those of [`Self::write_at`]; [`Errno::Invalid`] for a device.
    pub(crate) fn set_size(&self, size: u64, now: u64) -> Result<(), Errno> {
        match &self.kind {
            Kind::Memory(file) => {
                file.borrow_mut().set_size(size)?;
                self.changed(now);
                Ok(())
            }
            Kind::Device(_) => Err(Errno::Invalid),
            Kind::Package(_) => Err(Errno::ReadOnly),
            Kind::Directory(_) | Kind::Sockets(_) => Err(Errno::IsDirectory),
        }
    }
}

fn copy_at(bytes: &[u8], offset: u64, to: &mut [u8]) -> usize {
    let rest =
        usize::try_from(offset).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
    let count = rest.len().min(to.len());
    if let (Some(to), Some(from)) = (to.get_mut(..count), rest.get(..count)) {
        to.copy_from_slice(from);
    }
    count
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_taken_and_given_back() {
        let budget = Budget::new(100_000);
        let mut file = MemoryFile::new(Arc::clone(&budget));
        for chunk in 0..90u64 {
            assert_eq!(file.write_at(chunk * 1000, &[7; 1000]), Ok(1000));
            assert!(budget.used() >= file.size());
        }
        assert_eq!(file.write_at(90_000, &[7; 20_000]), Err(Errno::NoSpace));
        assert_eq!(file.size(), 90_000);
        assert_eq!(file.write_at(u64::MAX, &[7]), Err(Errno::FileTooBig));
        assert_eq!(file.write_at(u64::MAX - 1, &[7]), Err(Errno::NoSpace));
        file.set_size(10).unwrap();
        assert!(budget.used() < 1000);
        file.set_size(20).unwrap();
        assert_eq!(file.bytes, [&[7; 10][..], &[0; 10]].concat());
        drop(file);
        assert_eq!(budget.used(), 0);
    }
}
