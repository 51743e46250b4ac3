// SPDX-License-Identifier: Apache-2.0

//! Directories of version 1, made version 2.
//!
//! Version 1 had everything of a repository below `users/<user>/repos/<repo>/`, version 2 has the kind first. Files are moved,
//! none is rewritten; the file `version` changes last. If that breaks off, the next start goes on with it.

use std::fs;
use std::io;
use std::path::Path;

use super::StoreError;

/// What moves where, for each repository.
const MOVED: [&str; 3] = ["blobs", "tags", "pending"];

/// Moves the files of a store of version 1. Whoever calls holds the store's lock, and then writes the version.
pub(super) fn from_1(root: &Path) -> Result<(), StoreError> {
    let users = root.join("users");
    for user in directories(&users)? {
        let old = users.join(&user);
        for repo in directories(&old.join("repos"))? {
            let from = old.join("repos").join(&repo);
            for kind in MOVED {
                rename(&from.join(kind), &root.join(kind).join(&user).join(&repo))?;
            }
            let record = root.join("repos").join(&user).join(format!("{repo}.json"));
            rename(&from.join("repo.json"), &record)?;
            remove_dir(&from)?;
        }
        remove_dir(&old.join("repos"))?;
        rename(&old.join("user.json"), &users.join(format!("{user}.json")))?;
        remove_dir(&old)?;
    }
    Ok(())
}

/// The names of the directories in a directory; none if there is none.
fn directories(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

/// Moves a file or directory, durably; nothing if it is not there.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if !from.try_exists()? {
        return Ok(());
    }
    let (Some(old), Some(new)) = (from.parent(), to.parent()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut missing = vec![new];
    while let Some(above) = missing.last().and_then(|path| path.parent())
        && !above.try_exists()?
    {
        missing.push(above);
    }
    for path in missing.into_iter().rev() {
        if !path.try_exists()? {
            fs::create_dir(path)?;
        }
        flush(path.parent().unwrap_or(path))?;
    }
    fs::rename(from, to)?;
    flush(new)?;
    flush(old)
}

/// Removes a directory that should be empty by now. One that is not has files of somebody else.
fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn flush(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}
