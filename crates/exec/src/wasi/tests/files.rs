// SPDX-License-Identifier: Apache-2.0

use super::super::abi::{fdflags, fstflags};
use super::super::{dir, file};
use super::*;

fn stat(guest: &mut Guest, name: &str) -> Result<(u8, u64, u64, u64), Errno> {
    guest.at(name, |c, m, len| path::path_filestat_get(c, m, 3, 0, PATH, len, RESULT))?;
    let kind = guest.get(RESULT + 16, 1)[0];
    Ok((kind, guest.u64(RESULT + 24), guest.u64(RESULT + 32), guest.u64(RESULT + 48)))
}

fn seek(guest: &mut Guest, fd: u32, offset: i64, whence: u32) -> Result<u64, Errno> {
    guest.call(|c, m| file::fd_seek(c, m, fd, offset, whence, RESULT))?;
    Ok(guest.u64(RESULT))
}

/// Names in a directory, asked for with so many bytes at a time.
fn list(guest: &mut Guest, fd: u32, len: u32) -> Vec<String> {
    let (mut names, mut cookie) = (Vec::new(), 0);
    loop {
        guest.call(|c, m| dir::fd_readdir(c, m, fd, DATA, len, cookie, RESULT)).unwrap();
        let used = guest.u32(RESULT);
        let (mut at, before) = (DATA, names.len());
        while at + 24 <= DATA + used {
            let name_len = guest.u32(at + 16);
            if at + 24 + name_len > DATA + used {
                break;
            }
            let name = guest.get(at + 24, usize::try_from(name_len).unwrap()).to_vec();
            assert_ne!(guest.u64(at + 8), 0);
            names.push(String::from_utf8(name).unwrap());
            cookie = guest.u64(at);
            at += 24 + name_len;
        }
        if used < len {
            return names;
        }
        assert!(names.len() > before, "no progress with {len} bytes");
    }
}

#[test]
fn package_files_are_read_only() {
    let mut guest = Guest::new();
    let motd = guest.open("etc/motd").unwrap();
    assert_eq!(guest.read(motd, 5).unwrap(), b"hello");
    assert_eq!(seek(&mut guest, motd, 2, 1), Ok(7));
    assert_eq!(guest.read(motd, 100).unwrap(), b"guest\n");
    assert_eq!(guest.read(motd, 100).unwrap(), b"");
    assert_eq!(guest.write(motd, b"x"), Err(Errno::BadFd));
    assert_eq!(guest.create("etc/motd"), Err(Errno::ReadOnly));
    assert_eq!(guest.create("etc/new"), Err(Errno::ReadOnly));
    assert_eq!(
        guest.open_with("etc/motd", oflags::TRUNC, rights::FD_READ, 0),
        Err(Errno::ReadOnly)
    );
    assert_eq!(stat(&mut guest, "etc/motd"), Ok((4, 1, 13, 0)));
    assert_eq!(stat(&mut guest, "etc"), Ok((3, 1, 0, 0)));
    assert_eq!(stat(&mut guest, "."), Ok((3, 1, 0, 0)));
    assert_eq!(stat(&mut guest, "none"), Err(Errno::NoEntry));
    let etc = guest.open("etc").unwrap();
    assert_eq!(guest.read(etc, 1), Err(Errno::IsDirectory));
    assert_eq!(seek(&mut guest, etc, 0, 0), Err(Errno::BadFd));
    for name in ["etc/motd", "etc", "net/con/h"] {
        let times = guest.at(name, |c, m, len| {
            path::path_filestat_set_times(c, m, 3, 0, PATH, len, 5, 5, fstflags::MTIM.into())
        });
        assert_eq!(times, Err(Errno::ReadOnly), "{name}");
    }
}

#[test]
fn files_in_tmp() {
    let mut guest = Guest::new();
    let fd = guest.create("tmp/f").unwrap();
    assert_eq!(guest.write(fd, b"0123456789"), Ok(10));
    assert_eq!(seek(&mut guest, fd, -3, 2), Ok(7));
    assert_eq!(guest.read(fd, 9).unwrap(), b"789");
    assert_eq!(seek(&mut guest, fd, 12, 0), Ok(12));
    guest.write(fd, b"x").unwrap();
    guest.call(|c, m| file::fd_tell(c, m, fd, RESULT)).unwrap();
    assert_eq!(guest.u64(RESULT), 13);
    guest.buffer(4);
    guest.call(|c, m| file::fd_pread(c, m, fd, IOVS, 1, 9, RESULT)).unwrap();
    assert_eq!((guest.u32(RESULT), guest.get(DATA, 4)), (4, &b"9\0\0x"[..]));
    guest.put(DATA, b"ABCD");
    guest.call(|c, m| file::fd_pwrite(c, m, fd, IOVS, 1, 1, RESULT)).unwrap();
    guest.call(|c, m| file::fd_filestat_set_size(c, m, fd, 6)).unwrap();
    seek(&mut guest, fd, 0, 0).unwrap();
    assert_eq!(guest.read(fd, 99).unwrap(), b"0ABCD5");
    guest.call(|c, m| file::fd_allocate(c, m, fd, 4, 4)).unwrap();
    guest.call(|c, m| file::fd_filestat_get(c, m, fd, RESULT)).unwrap();
    assert_eq!(guest.u64(RESULT + 32), 8);
    guest.call(|c, m| file::fd_sync(c, m, fd)).unwrap();
    guest.call(|c, m| file::fd_datasync(c, m, fd)).unwrap();
    guest.call(|c, m| file::fd_advise(c, m, fd, 0, 1, 5)).unwrap();

    for (offset, whence) in [(-1, 0), (i64::MIN, 2), (0, 3)] {
        assert_eq!(seek(&mut guest, fd, offset, whence), Err(Errno::Invalid));
    }
    seek(&mut guest, fd, i64::MAX, 0).unwrap();
    assert_eq!(guest.read(fd, 1).unwrap(), b"");
    assert_eq!(guest.write(fd, b"x"), Err(Errno::NoSpace));
    assert_eq!(
        guest.call(|c, m| file::fd_pwrite(c, m, fd, IOVS, 1, u64::MAX, RESULT)),
        Err(Errno::FileTooBig)
    );
    assert_eq!(guest.call(|c, m| file::fd_allocate(c, m, fd, u64::MAX, 1)), Err(Errno::FileTooBig));
    assert_eq!(guest.call(|c, m| file::fd_allocate(c, m, fd, 0, 0)), Err(Errno::Invalid));
    assert_eq!(guest.call(|c, m| file::fd_advise(c, m, fd, 0, 1, 6)), Err(Errno::Invalid));
    assert_eq!(
        guest.call(|c, m| file::fd_filestat_set_size(c, m, fd, 1 << 40)),
        Err(Errno::NoSpace)
    );
}

#[test]
fn opening_follows_the_flags() {
    let mut guest = Guest::new();
    assert_eq!(guest.open("tmp/f"), Err(Errno::NoEntry));
    let fd = guest.create("tmp/f").unwrap();
    guest.write(fd, b"content").unwrap();
    let excl = oflags::CREAT | oflags::EXCL;
    assert_eq!(guest.open_with("tmp/f", excl, rights::ALL, 0), Err(Errno::Exist));
    assert_eq!(
        guest.open_with("tmp/f", oflags::DIRECTORY, rights::ALL, 0),
        Err(Errno::NotDirectory)
    );
    assert_eq!(guest.open_with("tmp/g/", oflags::CREAT, rights::ALL, 0), Err(Errno::IsDirectory));
    let both = oflags::CREAT | oflags::DIRECTORY;
    assert_eq!(guest.open_with("tmp/g", both, rights::ALL, 0), Err(Errno::Invalid));
    assert_eq!(guest.open_with("tmp", 0, rights::FD_WRITE, 0), Err(Errno::IsDirectory));
    assert_eq!(guest.open_with("tmp", oflags::TRUNC, rights::FD_READ, 0), Err(Errno::IsDirectory));
    assert_eq!(guest.open_with("tmp/f", 0x10, rights::ALL, 0), Err(Errno::Invalid));
    assert_eq!(guest.open_with("tmp/f", 0, rights::ALL, 0x20), Err(Errno::Invalid));
    guest.open_with("tmp", oflags::DIRECTORY, rights::ALL, 0).unwrap();

    let append = guest.open_with("tmp/f", 0, rights::FD_WRITE, fdflags::APPEND).unwrap();
    guest.write(append, b" more").unwrap();
    assert_eq!(guest.read(append, 1), Err(Errno::BadFd));
    let reader = guest.open("tmp/f").unwrap();
    assert_eq!(guest.read(reader, 99).unwrap(), b"content more");
    assert_eq!(guest.write(reader, b"x"), Err(Errno::BadFd));
    assert_eq!(guest.call(|c, m| file::fd_filestat_set_size(c, m, reader, 0)), Err(Errno::BadFd));
    guest.open_with("tmp/f", oflags::TRUNC, rights::ALL, 0).unwrap();
    assert_eq!(stat(&mut guest, "tmp/f").unwrap().2, 0);
    assert_eq!(guest.open("../etc/passwd"), Err(Errno::Permission));
    assert_eq!(guest.open("/etc/motd"), Err(Errno::Permission));
    assert_eq!(guest.open("etc\0motd"), Err(Errno::Invalid));
}

#[test]
fn descriptors_are_bounded_and_reused() {
    let mut guest = Guest::new();
    let opened: Vec<_> = std::iter::from_fn(|| guest.open("etc/motd").ok()).collect();
    assert_eq!(opened.len(), 256 - 4);
    assert_eq!(guest.open("etc/motd"), Err(Errno::TooManyFiles));
    guest.call(|c, m| fd::fd_close(c, m, 9)).unwrap();
    assert_eq!(guest.call(|c, m| fd::fd_close(c, m, 9)), Err(Errno::BadFd));
    assert_eq!(guest.open("etc/motd"), Ok(9));
    guest.call(|c, m| fd::fd_renumber(c, m, 9, 8)).unwrap();
    assert_eq!(guest.read(9, 1), Err(Errno::BadFd));
    assert_eq!(guest.read(8, 1).unwrap(), b"h");
}

#[test]
fn names_come_and_go() {
    let mut guest = Guest::new();
    guest.at("tmp/d", |c, m, len| path::path_create_directory(c, m, 3, PATH, len)).unwrap();
    assert_eq!(
        guest.at("tmp/d", |c, m, len| path::path_create_directory(c, m, 3, PATH, len)),
        Err(Errno::Exist)
    );
    let fd = guest.create("tmp/d/f").unwrap();
    guest.write(fd, b"still here").unwrap();
    let len2 = guest.put(PATH2, b"tmp/g");
    guest
        .at("tmp/d/f", |c, m, len| path::path_link(c, m, 3, 0, PATH, len, 3, PATH2, len2))
        .unwrap();
    assert_eq!(stat(&mut guest, "tmp/g").unwrap().1, 2);
    let len2 = guest.put(PATH2, b"tmp/h");
    guest.at("tmp/g", |c, m, len| path::path_rename(c, m, 3, PATH, len, 3, PATH2, len2)).unwrap();
    let unlink =
        |c: &mut Context, m: &mut Memory<'_>, len| path::path_unlink_file(c, m, 3, PATH, len);
    guest.at("tmp/h", unlink).unwrap();
    guest.at("tmp/d/f", unlink).unwrap();
    assert_eq!(guest.at("tmp/d/f", unlink), Err(Errno::NoEntry));
    assert_eq!(guest.at("tmp/d", unlink), Err(Errno::IsDirectory));
    assert_eq!(guest.at("tmp/.", unlink), Err(Errno::IsDirectory));
    seek(&mut guest, fd, 0, 0).unwrap();
    assert_eq!(guest.read(fd, 99).unwrap(), b"still here");
    let rmdir =
        |c: &mut Context, m: &mut Memory<'_>, len| path::path_remove_directory(c, m, 3, PATH, len);
    guest.at("tmp/d/", rmdir).unwrap();
    assert_eq!(guest.at("tmp/.", rmdir), Err(Errno::Invalid));
    assert_eq!(guest.at("etc", rmdir), Err(Errno::ReadOnly));
    let symlink = guest.at("tmp/s", |c, m, len| path::path_symlink(c, m, PATH2, 1, 3, PATH, len));
    assert_eq!(symlink, Err(Errno::NotSupported));
    let readlink = |c: &mut Context, m: &mut Memory<'_>, len| {
        path::path_readlink(c, m, 3, PATH, len, DATA, 9, RESULT)
    };
    assert_eq!(guest.at("etc/motd", readlink), Err(Errno::Invalid));
    assert_eq!(guest.at("none", readlink), Err(Errno::NoEntry));
}

#[test]
fn listings_go_on_after_changes() {
    let mut guest = Guest::new();
    assert_eq!(list(&mut guest, 3, 4096), [".", "..", "main.wasm", "etc", "dev", "net", "tmp"]);
    assert_eq!(list(&mut guest, 3, 40), [".", "..", "main.wasm", "etc", "dev", "net", "tmp"]);
    for n in 0..200 {
        let fd = guest.create(&format!("tmp/file-{n}")).unwrap();
        guest.call(|c, m| fd::fd_close(c, m, fd)).unwrap();
    }
    let tmp = guest.open("tmp").unwrap();
    assert_eq!(list(&mut guest, tmp, 100).len(), 202);
    guest
        .call(|c, m| dir::fd_readdir(c, m, tmp, DATA, 24 + 1 + 24 + 2 + 24 + 6, 0, RESULT))
        .unwrap();
    let cookie = guest.u64(DATA + 24 + 1 + 24 + 2);
    for n in 0..100 {
        guest
            .at(&format!("tmp/file-{n}"), |c, m, len| path::path_unlink_file(c, m, 3, PATH, len))
            .unwrap();
    }
    guest.call(|c, m| dir::fd_readdir(c, m, tmp, DATA, 4096, cookie, RESULT)).unwrap();
    assert_eq!(guest.get(DATA + 24, 8), b"file-100");
    guest.call(|c, m| dir::fd_readdir(c, m, tmp, DATA, 4096, u64::MAX, RESULT)).unwrap();
    assert_eq!(guest.u32(RESULT), 0);
    let net = guest.open("net/con").unwrap();
    assert_eq!(list(&mut guest, net, 100), [".", ".."]);
    let motd = guest.open("etc/motd").unwrap();
    assert_eq!(
        guest.call(|c, m| dir::fd_readdir(c, m, motd, DATA, 9, 0, RESULT)),
        Err(Errno::NotDirectory)
    );
}

#[test]
fn timestamps() {
    let mut guest = Guest::new();
    let fd = guest.create("tmp/f").unwrap();
    let set = |guest: &mut Guest, flags: u16| {
        guest.call(|c, m| file::fd_filestat_set_times(c, m, fd, 11, 22, flags.into()))?;
        guest.call(|c, m| file::fd_filestat_get(c, m, fd, RESULT))?;
        Ok((guest.u64(RESULT + 40), guest.u64(RESULT + 48)))
    };
    assert_eq!(set(&mut guest, fstflags::ATIM | fstflags::MTIM), Ok((11, 22)));
    let (access, content) = set(&mut guest, fstflags::ATIM_NOW).unwrap();
    assert!(access > 1_000_000 && content == 22);
    assert_eq!(set(&mut guest, fstflags::ATIM | fstflags::ATIM_NOW), Err(Errno::Invalid));
    assert_eq!(set(&mut guest, 16), Err(Errno::Invalid));
    guest.write(fd, b"x").unwrap();
    assert!(stat(&mut guest, "tmp/f").unwrap().3 > 1_000_000);
}

#[test]
fn devices() {
    let mut guest = Guest::new();
    let null = guest.open_with("dev/null", oflags::CREAT | oflags::TRUNC, rights::ALL, 0).unwrap();
    assert_eq!(guest.write(null, b"gone"), Ok(4));
    assert_eq!(guest.read(null, 9).unwrap(), b"");
    assert_eq!(seek(&mut guest, null, 100, 0), Ok(0));
    let zero = guest.open("dev/zero").unwrap();
    assert_eq!(guest.read(zero, 9).unwrap(), [0; 9]);
    let random = guest.open("dev/urandom").unwrap();
    assert_ne!(guest.read(random, 32).unwrap(), guest.read(random, 32).unwrap());
    assert_eq!(guest.create("dev/new"), Err(Errno::ReadOnly));
    assert_eq!(stat(&mut guest, "dev/null").unwrap().0, 2);
}

#[test]
fn flags_rights_and_preopens() {
    let mut guest = Guest::new();
    for (fd, kind, len) in [(0, 1, 0), (2, 1, 0), (3, 0, 1)] {
        guest.call(|c, m| fd::fd_prestat_get(c, m, fd, RESULT)).unwrap();
        assert_eq!((guest.u32(RESULT), guest.u32(RESULT + 4)), (kind, len));
    }
    assert_eq!(guest.call(|c, m| fd::fd_prestat_get(c, m, 4, RESULT)), Err(Errno::BadFd));
    guest.call(|c, m| fd::fd_prestat_dir_name(c, m, 3, DATA, 1)).unwrap();
    assert_eq!(guest.get(DATA, 1), b"/");
    assert_eq!(
        guest.call(|c, m| fd::fd_prestat_dir_name(c, m, 3, DATA, 0)),
        Err(Errno::NameTooLong)
    );
    assert_eq!(
        guest.call(|c, m| fd::fd_prestat_dir_name(c, m, 0, DATA, 1)),
        Err(Errno::NotDirectory)
    );

    guest.call(|c, m| fd::fd_fdstat_get(c, m, 3, RESULT)).unwrap();
    assert_eq!((guest.get(RESULT, 1)[0], guest.u64(RESULT + 16)), (3, rights::ALL));
    let motd = guest.open_with("etc/motd", 0, rights::FD_READ | rights::FD_SEEK, 0).unwrap();
    assert_eq!(guest.open("etc/motd"), Ok(motd + 1));
    guest.call(|c, m| fd::fd_prestat_get(c, m, motd, RESULT)).unwrap_err();
    guest.call(|c, m| fd::fd_fdstat_get(c, m, motd, RESULT)).unwrap();
    assert_eq!(guest.u64(RESULT + 8), rights::FD_READ | rights::FD_SEEK);
    guest.call(|c, m| fd::fd_fdstat_set_flags(c, m, motd, 4)).unwrap();
    guest.call(|c, m| fd::fd_fdstat_get(c, m, motd, RESULT)).unwrap();
    assert_eq!(guest.u16(RESULT + 2), 4);
    assert_eq!(guest.call(|c, m| fd::fd_fdstat_set_flags(c, m, motd, 32)), Err(Errno::Invalid));
    assert_eq!(
        guest.call(|c, m| fd::fd_fdstat_set_rights(c, m, motd, rights::ALL, 0)),
        Err(Errno::NotCapable)
    );
    guest.call(|c, m| fd::fd_fdstat_set_rights(c, m, motd, rights::FD_SEEK, 0)).unwrap();
    assert_eq!(guest.read(motd, 1), Err(Errno::BadFd));
}
