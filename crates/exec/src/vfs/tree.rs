// SPDX-License-Identifier: Apache-2.0

//! The tree of a workload, and the changes that it can make in `/tmp`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use types::limits;

use super::budget::Budget;
use super::file::MemoryFile;
use super::node::{Device, Directory, Kind, Node, Sockets, Space};
use super::path::Entry;
use crate::wasi::abi::Errno;

/// Names in `/` that are the Keep's own.
const RESERVED: [&str; 5] = ["data", "dev", "key", "net", "tmp"];

/// The tree under `/`: the package's `files` (path and content) read-only, `/tmp`, `/dev` and `/net`. `now` is in nanoseconds
/// since 1970.
///
/// # Errors
/// In words: which file cannot be there.
pub(crate) fn build(
    files: Vec<(String, Vec<u8>)>,
    budget: &Arc<Budget>,
    now: u64,
) -> Result<Rc<Node>, String> {
    let space = Space::new(Arc::clone(budget));
    let folder = |depth| Node::new(&space, Kind::Directory(Directory::new(None, depth)), 0);
    let root = folder(0);
    for (path, bytes) in files {
        add_file(&space, &root, &path, bytes)?;
    }
    let at = |parent: &Rc<Node>, name: &str, node: Rc<Node>| {
        let directory = parent.directory().ok_or(Errno::NotDirectory)?;
        directory.insert(name, node)
    };
    let build = || {
        let device = |device| Node::new(&space, Kind::Device(device), now);
        let dev = folder(1);
        at(&dev, "null", device(Device::Null))?;
        at(&dev, "zero", device(Device::Zero))?;
        at(&dev, "random", device(Device::Random))?;
        at(&dev, "urandom", device(Device::Random))?;
        at(&root, "dev", dev)?;
        let sockets = |kind| Node::new(&space, Kind::Sockets(kind), now);
        let net = folder(1);
        at(&net, "con", sockets(Sockets::Connect))?;
        at(&net, "lis", sockets(Sockets::Listen))?;
        at(&net, "peer", sockets(Sockets::Peer))?;
        at(&root, "net", net)?;
        let tmp = Kind::Directory(Directory::new(Some(Rc::clone(&space)), 1));
        at(&root, "tmp", Node::new(&space, tmp, now))
    };
    build().map_err(|errno: Errno| format!("the file system cannot be set up: {errno:?}"))?;
    Ok(root)
}

fn add_file(space: &Space, root: &Rc<Node>, path: &str, bytes: Vec<u8>) -> Result<(), String> {
    let bad =
        |why: &str| Err(format!("the package's file `{path}` cannot be in the file system: {why}"));
    let parts: Vec<&str> = path.split('/').collect();
    let Some((name, folders)) = parts.split_last() else {
        return bad("it has no name");
    };
    if parts.iter().any(|part| matches!(*part, "" | "." | "..") || part.contains('\0')) {
        return bad("a part of its path is empty, `.` or `..`");
    }
    if parts.len() > limits::TREE_DEPTH_MAX {
        return bad("it is nested too deeply");
    }
    if parts.first().is_some_and(|first| RESERVED.contains(first)) {
        return bad(
            "`/data`, `/dev`, `/key`, `/net` and `/tmp` are the Keep's own; use another name",
        );
    }
    let mut here = Rc::clone(root);
    for (depth, part) in folders.iter().enumerate() {
        let Some(directory) = here.directory() else {
            return bad("a file is where it needs a directory");
        };
        let next = match directory.get(part) {
            Some(next) => next,
            None => {
                let kind = Kind::Directory(Directory::new(None, depth + 1));
                let next = Node::new(space, kind, 0);
                if directory.insert(part, Rc::clone(&next)).is_err() {
                    return bad("a part of its path is too long");
                }
                next
            }
        };
        here = next;
    }
    let Some(directory) = here.directory() else {
        return bad("a file is where it needs a directory");
    };
    if directory.get(name).is_some() {
        return bad("another has the same name");
    }
    match directory.insert(name, Node::new(space, Kind::Package(bytes), 0)) {
        Ok(()) => Ok(()),
        Err(_too_long) => bad("its name is too long"),
    }
}

/// The directory in which to change something.
fn writable(parent: &Node) -> Result<(&Directory, &Rc<Space>), Errno> {
    let directory = parent.directory().ok_or(Errno::NotDirectory)?;
    let space = directory.space.as_ref().ok_or(Errno::ReadOnly)?;
    if parent.links.get() == 0 {
        return Err(Errno::NoEntry);
    }
    Ok((directory, space))
}

/// Creates an empty file where there is nothing.
pub(crate) fn create_file(entry: &Entry, now: u64) -> Result<Rc<Node>, Errno> {
    let (directory, space) = writable(&entry.parent)?;
    if entry.slash {
        return Err(Errno::IsDirectory);
    }
    let file = Kind::Memory(RefCell::new(MemoryFile::new(Arc::clone(&space.budget))));
    let node = Node::new(space, file, now);
    directory.insert(&entry.name, Rc::clone(&node))?;
    entry.parent.changed(now);
    Ok(node)
}

/// Creates an empty directory where there is nothing.
pub(crate) fn create_directory(entry: &Entry, now: u64) -> Result<(), Errno> {
    if entry.node.is_some() {
        return Err(Errno::Exist);
    }
    let (directory, space) = writable(&entry.parent)?;
    let depth = directory.depth.get() + 1;
    if depth > limits::GUEST_DEPTH_MAX {
        return Err(Errno::NameTooLong);
    }
    let kind = Kind::Directory(Directory::new(Some(Rc::clone(space)), depth));
    directory.insert(&entry.name, Node::new(space, kind, now))?;
    entry.parent.changed(now);
    Ok(())
}

/// Removes a name of a file.
pub(crate) fn unlink(entry: &Entry, now: u64) -> Result<(), Errno> {
    let node = entry.present()?;
    let (directory, _space) = writable(&entry.parent)?;
    if node.is_directory() {
        return Err(Errno::IsDirectory);
    }
    directory.remove(&entry.name);
    node.links.set(node.links.get().saturating_sub(1));
    node.altered(now);
    entry.parent.changed(now);
    Ok(())
}

/// Removes an empty directory.
pub(crate) fn remove_directory(entry: &Entry, now: u64) -> Result<(), Errno> {
    let node = entry.present()?;
    let removed = node.directory().ok_or(Errno::NotDirectory)?;
    let (directory, _space) = writable(&entry.parent)?;
    if !removed.is_empty() {
        return Err(Errno::NotEmpty);
    }
    directory.remove(&entry.name);
    node.links.set(0);
    entry.parent.changed(now);
    Ok(())
}

/// Gives a file another name.
pub(crate) fn link(from: &Entry, to: &Entry, now: u64) -> Result<(), Errno> {
    let node = from.present()?;
    if to.node.is_some() {
        return Err(Errno::Exist);
    }
    let (directory, _space) = writable(&to.parent)?;
    if node.is_directory() {
        return Err(Errno::Permission);
    }
    if to.slash {
        return Err(Errno::NoEntry);
    }
    let _source = writable(&from.parent)?;
    directory.insert(&to.name, Rc::clone(node))?;
    node.links.set(node.links.get() + 1);
    node.altered(now);
    to.parent.changed(now);
    Ok(())
}

/// Moves a file or a directory, in place of a file or an empty directory that has the new name.
pub(crate) fn rename(from: &Entry, to: &Entry, now: u64) -> Result<(), Errno> {
    let node = from.present()?;
    let (old_parent, _space) = writable(&from.parent)?;
    let (new_parent, _space) = writable(&to.parent)?;
    if to.slash && !node.is_directory() {
        return Err(Errno::NotDirectory);
    }
    if let Some(replaced) = &to.node {
        if Rc::ptr_eq(replaced, node) {
            return Ok(());
        }
        match (node.directory(), replaced.directory()) {
            (Some(_), None) => return Err(Errno::NotDirectory),
            (None, Some(_)) => return Err(Errno::IsDirectory),
            (Some(_), Some(replaced)) if !replaced.is_empty() => return Err(Errno::NotEmpty),
            _ => {}
        }
    }
    if node.is_directory() {
        let height = height_without(node, &to.parent).ok_or(Errno::Invalid)?;
        if new_parent.depth.get() + height > limits::GUEST_DEPTH_MAX {
            return Err(Errno::NameTooLong);
        }
    }
    new_parent.insert(&to.name, Rc::clone(node))?;
    if let Some(replaced) = &to.node {
        replaced.links.set(replaced.links.get().saturating_sub(1));
    }
    old_parent.remove(&from.name);
    set_depth(node, new_parent.depth.get() + 1);
    node.altered(now);
    from.parent.changed(now);
    to.parent.changed(now);
    Ok(())
}

/// Levels of directories from `node` downwards; `None` if `other` is among them. As deep as [`limits::GUEST_DEPTH_MAX`].
fn height_without(node: &Rc<Node>, other: &Rc<Node>) -> Option<usize> {
    if Rc::ptr_eq(node, other) {
        return None;
    }
    let Some(directory) = node.directory() else {
        return Some(0);
    };
    let mut height = 0;
    for node in directory.nodes() {
        height = height.max(height_without(&node, other)?);
    }
    Some(height + 1)
}

fn set_depth(node: &Rc<Node>, depth: usize) {
    if let Some(directory) = node.directory() {
        directory.depth.set(depth);
        for node in directory.nodes() {
            set_depth(&node, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::{Place, resolve};
    use super::*;

    fn tree() -> Rc<Node> {
        let files = vec![
            ("main.wasm".to_owned(), b"wasm".to_vec()),
            ("lib/python/os.py".to_owned(), b"pass".to_vec()),
        ];
        build(files, &Budget::new(1 << 20), 5).unwrap()
    }

    fn entry(root: &Rc<Node>, path: &str) -> Entry {
        match resolve(root, path) {
            Ok(Place::Entry(entry)) => entry,
            other => panic!("{path}: {other:?}"),
        }
    }

    fn errno(root: &Rc<Node>, path: &str) -> Errno {
        resolve(root, path).map(|_| ()).unwrap_err()
    }

    #[test]
    fn paths_lead_where_they_should() {
        let root = tree();
        let file = entry(&root, "lib/./python/../python//os.py");
        assert_eq!(file.present().unwrap().size(), 4);
        assert!(
            matches!(resolve(&root, "lib/.."), Ok(Place::Here(node)) if Rc::ptr_eq(&node, &root))
        );
        assert!(
            matches!(resolve(&root, "net/con/h:1"), Ok(Place::Socket(Sockets::Connect, name)) if name == "h:1")
        );
        assert_eq!(errno(&root, ""), Errno::NoEntry);
        assert_eq!(errno(&root, "/lib"), Errno::Permission);
        assert_eq!(errno(&root, ".."), Errno::Permission);
        assert_eq!(errno(&root, "lib/../../etc/passwd"), Errno::Permission);
        assert_eq!(errno(&root, "main.wasm/x"), Errno::NotDirectory);
        assert_eq!(errno(&root, "main.wasm/."), Errno::NotDirectory);
        assert_eq!(errno(&root, "nothing/.."), Errno::NoEntry);
        assert_eq!(errno(&root, "net/con/h/x"), Errno::NotDirectory);
        assert_eq!(errno(&root, "net/con/h/"), Errno::NotDirectory);
        assert_eq!(errno(&root, &"x".repeat(256)), Errno::NameTooLong);
        assert_eq!(entry(&root, "main.wasm/").present().unwrap_err(), Errno::NotDirectory);
        let python = entry(&root, "lib/python").node.unwrap();
        assert_eq!(errno(&python, "../../main.wasm"), Errno::Permission);
    }

    #[test]
    fn only_tmp_changes() {
        let root = tree();
        for path in ["new", "lib/new", "dev/new", "net/new"] {
            assert_eq!(create_file(&entry(&root, path), 6).unwrap_err(), Errno::ReadOnly, "{path}");
            assert_eq!(create_directory(&entry(&root, path), 6), Err(Errno::ReadOnly), "{path}");
        }
        assert_eq!(unlink(&entry(&root, "main.wasm"), 6), Err(Errno::ReadOnly));
        let file = entry(&root, "main.wasm").node.unwrap();
        assert_eq!(file.write_at(0, b"x", 6), Err(Errno::ReadOnly));
        assert_eq!(file.set_size(0, 6), Err(Errno::ReadOnly));
        create_file(&entry(&root, "tmp/a"), 6).unwrap();
        let rename = |from, to| rename(&entry(&root, from), &entry(&root, to), 6);
        assert_eq!(rename("tmp/a", "lib/a"), Err(Errno::ReadOnly));
        assert_eq!(rename("main.wasm", "tmp/b"), Err(Errno::ReadOnly));
        assert_eq!(
            link(&entry(&root, "main.wasm"), &entry(&root, "tmp/b"), 6),
            Err(Errno::ReadOnly)
        );
        assert_eq!(remove_directory(&entry(&root, "tmp"), 6), Err(Errno::ReadOnly));
        assert_eq!(remove_directory(&entry(&root, "net/con"), 6), Err(Errno::NotDirectory));
    }

    #[test]
    fn renames_follow_posix() {
        let root = tree();
        for name in ["tmp/d", "tmp/d/e", "tmp/empty"] {
            create_directory(&entry(&root, name), 6).unwrap();
        }
        for name in ["tmp/f", "tmp/d/g"] {
            create_file(&entry(&root, name), 6).unwrap();
        }
        let rename = |from, to| rename(&entry(&root, from), &entry(&root, to), 7);
        assert_eq!(rename("tmp/d", "tmp/d/e/x"), Err(Errno::Invalid));
        assert_eq!(rename("tmp/d", "tmp/d/x"), Err(Errno::Invalid));
        assert_eq!(rename("tmp/d", "tmp/f"), Err(Errno::NotDirectory));
        assert_eq!(rename("tmp/f", "tmp/d"), Err(Errno::IsDirectory));
        assert_eq!(rename("tmp/empty", "tmp/d"), Err(Errno::NotEmpty));
        assert_eq!(rename("tmp/f", "tmp/x/"), Err(Errno::NotDirectory));
        assert_eq!(rename("tmp/nothing", "tmp/x"), Err(Errno::NoEntry));
        rename("tmp/f", "tmp/d/g").unwrap();
        rename("tmp/d", "tmp/empty").unwrap();
        assert!(entry(&root, "tmp/d").node.is_none());
        assert!(entry(&root, "tmp/empty/g").node.is_some());
        rename("tmp/empty", "tmp/empty").unwrap();
    }

    #[test]
    fn removed_directories_take_no_more() {
        let root = tree();
        create_directory(&entry(&root, "tmp/d"), 6).unwrap();
        let removed = entry(&root, "tmp/d").node.unwrap();
        create_file(&entry(&removed, "f"), 6).unwrap();
        assert_eq!(remove_directory(&entry(&root, "tmp/d"), 7), Err(Errno::NotEmpty));
        assert_eq!(unlink(&entry(&root, "tmp/d"), 7), Err(Errno::IsDirectory));
        unlink(&entry(&root, "tmp/d/f"), 7).unwrap();
        remove_directory(&entry(&root, "tmp/d"), 7).unwrap();
        assert_eq!(create_file(&entry(&removed, "f"), 8).unwrap_err(), Errno::NoEntry);
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let root = tree();
        let mut here = entry(&root, "tmp").node.unwrap();
        let mut made = 1;
        while create_directory(&entry(&here, "d"), 6).is_ok() {
            here = entry(&here, "d").node.unwrap();
            made += 1;
        }
        assert_eq!(made, limits::GUEST_DEPTH_MAX);
        create_directory(&entry(&root, "tmp/x"), 6).unwrap();
        create_directory(&entry(&root, "tmp/x/y"), 6).unwrap();
        let to_deep = entry(&here, "x");
        assert_eq!(rename(&entry(&root, "tmp/x"), &to_deep, 6), Err(Errno::NameTooLong));

        let last =
            (0..1_000_000).find_map(|n| create_file(&entry(&root, &format!("tmp/{n}")), 6).err());
        assert_eq!(last, Some(Errno::NoSpace));
    }

    #[test]
    fn packages_cannot_hide_what_is_the_keeps() {
        for path in ["tmp/x", "dev", "net/con/x", "a//b", "../x", "", "main.wasm/x"] {
            let files = vec![("main.wasm".to_owned(), Vec::new()), (path.to_owned(), Vec::new())];
            assert!(build(files, &Budget::new(1 << 20), 5).is_err(), "{path}");
        }
    }
}
