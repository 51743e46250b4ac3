// SPDX-License-Identifier: Apache-2.0

//! A tar archive (POSIX.1-2017 pax, ustar interchange format) whose bytes depend on nothing but its contents.

/// Size of a block, in bytes.
const BLOCK: usize = 512;
/// Longest path, in bytes; none of ours is longer.
const PATH_BYTES_MAX: usize = 100;

/// Who owns a file.
#[derive(Clone, Copy)]
pub(super) struct Owner(pub(super) u32);

/// An archive as it grows.
#[derive(Default)]
pub(super) struct Archive(Vec<u8>);

impl Archive {
    /// Adds a directory; `path` has no slash at its start.
    pub(super) fn directory(&mut self, path: &str, mode: u32, owner: Owner) -> Result<(), String> {
        self.header(&format!("{path}/"), mode, owner, 0, b'5')
    }

    /// Adds a file; `path` has no slash at its start.
    pub(super) fn file(
        &mut self,
        path: &str,
        mode: u32,
        owner: Owner,
        bytes: &[u8],
    ) -> Result<(), String> {
        self.header(path, mode, owner, bytes.len(), b'0')?;
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// The archive with its end.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }

    fn header(
        &mut self,
        path: &str,
        mode: u32,
        Owner(owner): Owner,
        size: usize,
        kind: u8,
    ) -> Result<(), String> {
        if path.len() > PATH_BYTES_MAX {
            return Err(format!("{path} is too long for the archive"));
        }
        let mut header = Vec::with_capacity(BLOCK);
        let mut field = |text: &str, bytes: usize| {
            header.extend_from_slice(text.as_bytes());
            header.resize(header.len() + bytes - text.len(), 0);
        };
        field(path, PATH_BYTES_MAX);
        field(&format!("{mode:07o}"), 8);
        field(&format!("{owner:07o}"), 8);
        field(&format!("{owner:07o}"), 8);
        field(&format!("{size:011o}"), 12);
        // Time: the same always.
        field("00000000000", 12);
        // The sum is made with spaces in its own place.
        field("        ", 8);
        field(char::from(kind).encode_utf8(&mut [0; 4]), 1);
        field("", 100);
        field("ustar", 6);
        field("00", 2);
        field("", BLOCK - 265);
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header.splice(148..156, format!("{sum:06o}\0 ").into_bytes());
        self.0.append(&mut header);
        Ok(())
    }
}
