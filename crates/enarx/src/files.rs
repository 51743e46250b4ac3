// SPDX-License-Identifier: Apache-2.0

//! Where things are on this machine, and how files are written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use types::limits;

use crate::failure::{Context as _, Failure};

/// Makes `directory` and its parents, open to this user only.
///
/// # Errors
/// If that fails.
pub fn make_private_directory(directory: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .context(format!("cannot make the directory {}", directory.display()))
}

/// Makes `directory` and its parents, open to whom the user's mask allows.
///
/// # Errors
/// If that fails.
pub fn make_shared_directory(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory)
        .context(format!("cannot make the directory {}", directory.display()))
}

/// Writes `bytes` to `path`, readable by this user only: a temporary file beside it, synced, renamed. A reader sees the old file or
/// the new one, never half of one.
///
/// # Errors
/// If that fails; the old file is then as it was.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_atomically(path, bytes, 0o600).context(format!("cannot write {}", path.display()))
}

/// As [`write_private`], readable by whom the user's mask allows.
///
/// # Errors
/// As [`write_private`].
pub fn write_shared(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_atomically(path, bytes, 0o666).context(format!("cannot write {}", path.display()))
}

fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.new", std::process::id()));
    let directory =
        path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let temporary = directory.join(temporary);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// If it cannot be read, is no regular file, or is longer.
pub fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let what = || format!("cannot read {}", path.display());
    let file = File::open(path).context(what())?;
    if file.metadata().context(what())?.is_dir() {
        return Err(Failure::new(what()).why("it is a directory"));
    }
    let mut bytes = Vec::new();
    let ceiling = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(ceiling).read_to_end(&mut bytes).context(what())?;
    if bytes.len() > limit {
        return Err(Failure::new(what())
            .why(format!("it is longer than the {limit} bytes that are allowed")));
    }
    Ok(bytes)
}

/// As [`read_bounded`], for a secret: a file that nobody else may read.
///
/// # Errors
/// As [`read_bounded`], and if others may read it.
pub fn read_private(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let what = || format!("cannot use {}", path.display());
    let mode = fs::metadata(path).context(what())?.mode();
    if mode & 0o077 != 0 {
        return Err(Failure::new(what())
            .why(format!("others can read it (mode {:o})", mode & 0o777))
            .next(format!("chmod 600 {}", path.display())));
    }
    read_bounded(path, limit)
}

/// As [`read_bounded`], for text.
///
/// # Errors
/// As [`read_bounded`], and if it is not UTF-8.
pub fn read_text(path: &Path, limit: usize) -> Result<String, Failure> {
    String::from_utf8(read_bounded(path, limit)?).map_err(|_| {
        Failure::new(format!("cannot read {}", path.display())).why("it is not UTF-8 text")
    })
}

/// The files of a package: those under a directory (nested, by their paths with `/`), or one module as `main.wasm`.
///
/// # Errors
/// If something cannot be read, is neither file nor directory (links are not followed), or exceeds a limit.
pub fn read_package(path: &Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let metadata = fs::metadata(path).context(format!("cannot read {}", path.display())).map_err(
        |failure| {
            failure.next("name a WebAssembly module, or a directory with main.wasm and Enarx.toml")
        },
    )?;
    if !metadata.is_dir() {
        return Ok(vec![("main.wasm".to_owned(), read_bounded(path, limits::FILE_BYTES_MAX)?)]);
    }
    let mut files = Vec::new();
    let mut total = 0;
    collect(path, "", 1, &mut files, &mut total)?;
    if !files.iter().any(|(name, _)| name == "main.wasm") {
        return Err(Failure::new(format!("{} is no package", path.display()))
            .why("it has no main.wasm")
            .next("put the module there under that name, beside its Enarx.toml"));
    }
    files.sort();
    Ok(files)
}

fn collect(
    directory: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<(String, Vec<u8>)>,
    total: &mut usize,
) -> Result<(), Failure> {
    if depth > limits::TREE_DEPTH_MAX {
        return Err(Failure::new(format!("{} is nested too deeply", directory.display()))
            .why(format!("a package may have {} levels of directories", limits::TREE_DEPTH_MAX)));
    }
    let what = || format!("cannot read {}", directory.display());
    for entry in fs::read_dir(directory).context(what())? {
        let entry = entry.context(what())?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            Failure::new(what())
                .why("a file's name is not UTF-8")
                .next("names in a package have letters, digits and _.:- only")
        })?;
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().context(what())?;
        if kind.is_dir() {
            collect(&entry.path(), &path, depth + 1, files, total)?;
        } else if kind.is_file() {
            let bytes = read_bounded(&entry.path(), limits::FILE_BYTES_MAX)?;
            *total += bytes.len();
            if *total > limits::PACKAGE_BYTES_MAX || files.len() >= limits::PACKAGE_FILES_MAX {
                return Err(Failure::new("the package is too large").why(format!(
                    "at most {} bytes in {} files are allowed",
                    limits::PACKAGE_BYTES_MAX,
                    limits::PACKAGE_FILES_MAX
                )));
            }
            files.push((path, bytes));
        } else {
            return Err(Failure::new(format!("cannot pack {}", entry.path().display()))
                .why("it is neither a file nor a directory")
                .next("put a copy of what it points to in its place"));
        }
    }
    Ok(())
}

/// A directory of the XDG base directory specification: `variable`, or `fallback` under the home directory.
fn xdg(variable: &str, fallback: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from).filter(|p| p.is_absolute()) {
        return Ok(path);
    }
    match std::env::var_os("HOME").map(PathBuf::from).filter(|p| p.is_absolute()) {
        Some(home) => Ok(home.join(fallback)),
        None => Err(Failure::new("cannot tell where to keep files")
            .why(format!("neither {variable} nor HOME names a directory"))
            .next(format!("set {variable}"))),
    }
}

/// Where data is kept: `$XDG_DATA_HOME/enarx`.
///
/// # Errors
/// If the environment does not say.
pub fn data_directory() -> Result<PathBuf, Failure> {
    Ok(xdg("XDG_DATA_HOME", ".local/share")?.join("enarx"))
}

/// Where things are kept that can be had again: `$XDG_CACHE_HOME/enarx`.
///
/// # Errors
/// If the environment does not say.
pub fn cache_directory() -> Result<PathBuf, Failure> {
    Ok(xdg("XDG_CACHE_HOME", ".cache")?.join("enarx"))
}

/// Where state is kept: `$XDG_STATE_HOME/enarx`.
///
/// # Errors
/// If the environment does not say.
pub fn state_directory() -> Result<PathBuf, Failure> {
    Ok(xdg("XDG_STATE_HOME", ".local/state")?.join("enarx"))
}

/// The program `name` that lies beside this one.
///
/// # Errors
/// If there is none.
pub fn beside(name: &str) -> Result<PathBuf, Failure> {
    let here = std::env::current_exe().context("cannot tell where this program lies")?;
    let path = here.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(format!("cannot find the program {name}"))
        .why(format!("it is not at {}", path.display()))
        .next("build it with `cargo xtask build`, which lays all programs side by side"))
}

/// The Keep's runtime: as given (`--exec`, `ENARX_EXEC`), or `enarx-exec` beside this program.
///
/// # Errors
/// If there is none.
pub fn find_exec(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let failure = |failure: Failure| failure.code(crate::failure::EXIT_KEEP);
    match given {
        None => beside("enarx-exec").map_err(failure),
        Some(path) if path.is_file() => Ok(path.to_path_buf()),
        Some(path) => Err(failure(
            Failure::new("cannot find the Keep's runtime, enarx-exec")
                .why(format!("there is no file {}", path.display()))
                .next(
                    "build it with `cargo xtask build`, or name another with --exec (ENARX_EXEC)",
                ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn private_files_are_private_and_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("a/b");
        make_private_directory(&directory).unwrap();
        let path = directory.join("file");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(read_bounded(&path, 3).unwrap(), b"two");
        assert!(read_bounded(&path, 2).is_err());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn packages_are_directories_or_modules() {
        let scratch = tempfile::tempdir().unwrap();
        let module = scratch.path().join("hello.wasm");
        write_shared(&module, b"\0asm").unwrap();
        assert_eq!(read_package(&module).unwrap(), [("main.wasm".to_owned(), b"\0asm".to_vec())]);
        let failure = read_package(scratch.path()).unwrap_err();
        assert!(failure.why.unwrap().contains("main.wasm"));
        write_shared(&scratch.path().join("main.wasm"), b"m").unwrap();
        fs::create_dir(scratch.path().join("etc")).unwrap();
        write_shared(&scratch.path().join("etc/x"), b"x").unwrap();
        let names: Vec<String> =
            read_package(scratch.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["etc/x", "hello.wasm", "main.wasm"]);
        std::os::unix::fs::symlink("/etc/passwd", scratch.path().join("link")).unwrap();
        assert!(read_package(scratch.path()).unwrap_err().why.unwrap().contains("neither"));
    }
}
