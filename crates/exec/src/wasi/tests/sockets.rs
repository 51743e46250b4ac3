// SPDX-License-Identifier: Apache-2.0

use super::super::abi::{fdflags, riflags};
use super::super::sock;
use super::*;
use std::cell::RefCell;

fn accept(guest: &mut Guest, listener: u32, flags: u32) -> Result<u32, Errno> {
    guest.call(|c, m| sock::sock_accept(c, m, listener, flags, RESULT))?;
    Ok(guest.u32(RESULT))
}

fn recv(guest: &mut Guest, fd: u32, len: u32, flags: u16) -> Result<Vec<u8>, Errno> {
    guest.buffer(len);
    // The two bytes of flags must not spill over.
    guest.put(RESULT + 4, &[0xff; 4]);
    guest.call(|c, m| sock::sock_recv(c, m, fd, IOVS, 1, flags.into(), RESULT, RESULT + 4))?;
    assert_eq!(guest.get(RESULT + 4, 4), [0, 0, 0xff, 0xff]);
    let count = usize::try_from(guest.u32(RESULT)).unwrap();
    Ok(guest.get(DATA, count).to_vec())
}

#[test]
fn serves_a_connection() {
    let (mut guest, listener, address) = serving();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"ping").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    let fd = accept(&mut guest, listener, 0).unwrap();
    assert_eq!(recv(&mut guest, fd, 2, riflags::PEEK).unwrap(), b"pi");
    assert_eq!(recv(&mut guest, fd, 4, riflags::WAITALL).unwrap(), b"ping");
    let len = guest.put(DATA, b"pong");
    guest.buffer(len);
    guest.call(|c, m| sock::sock_send(c, m, fd, IOVS, 1, 0, RESULT)).unwrap();
    assert_eq!(guest.u32(RESULT), 4);
    assert_eq!(guest.write(fd, b"!"), Ok(1));
    guest.call(|c, m| sock::sock_shutdown(c, m, fd, 2)).unwrap();
    assert_eq!(guest.write(fd, b"late"), Err(Errno::Pipe));
    assert_eq!(client.join().unwrap(), b"pong!");
    assert_eq!(guest.read(fd, 9).unwrap(), b"");
    assert_eq!(recv(&mut guest, fd, 9, riflags::WAITALL).unwrap(), b"");
    guest.call(|c, m| fd::fd_close(c, m, fd)).unwrap();
}

#[test]
fn nothing_waits_in_non_blocking_mode() {
    let (mut guest, listener, address) = serving();
    guest.call(|c, m| fd::fd_fdstat_set_flags(c, m, listener, fdflags::NONBLOCK.into())).unwrap();
    assert_eq!(accept(&mut guest, listener, 0), Err(Errno::Again));
    let mut client = TcpStream::connect(address).unwrap();
    guest.call(|c, m| fd::fd_fdstat_set_flags(c, m, listener, 0)).unwrap();
    let fd = accept(&mut guest, listener, fdflags::NONBLOCK.into()).unwrap();
    guest.call(|c, m| fd::fd_fdstat_get(c, m, fd, RESULT)).unwrap();
    assert_eq!((guest.get(RESULT, 1)[0], guest.u16(RESULT + 2)), (6, fdflags::NONBLOCK));
    assert_eq!(guest.read(fd, 9), Err(Errno::Again));
    assert_eq!(recv(&mut guest, fd, 9, riflags::PEEK), Err(Errno::Again));
    client.write_all(b"ab").unwrap();
    guest.call(|c, m| fd::fd_fdstat_set_flags(c, m, fd, 0)).unwrap();
    assert_eq!(recv(&mut guest, fd, 1, 0).unwrap(), b"a");
    guest.call(|c, m| fd::fd_fdstat_set_flags(c, m, fd, fdflags::NONBLOCK.into())).unwrap();
    assert_eq!(recv(&mut guest, fd, 9, riflags::WAITALL).unwrap(), b"b");
    let chunk = vec![0; 0x8_0000];
    let mut sent = 0u64;
    let full = loop {
        match guest.write(fd, &chunk) {
            Ok(count) => sent += u64::from(count),
            Err(errno) => break errno,
        }
    };
    assert_eq!(full, Errno::Again);
    drop(guest);
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(u64::try_from(received.len()).unwrap(), sent);
}

#[test]
fn a_blocking_write_writes_everything() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        server.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let mut guest = Guest::on(Net { listening: None, server: Some(address) });
    let fd = guest.open("net/con/server:7").unwrap();
    guest.memory.resize(0x200_0000, 0);
    let pattern: Vec<u8> = (0..0x100_0000u32).map(|n| n.to_le_bytes()[1]).collect();
    guest.put(DATA, &pattern);
    // Buffers of many sizes, all of them overlapping the pattern in order.
    let mut at = DATA;
    for (index, len) in [1u32, 0, 70_000, 3, 65_536, 9_000_000, 100].into_iter().enumerate() {
        let entry = IOVS + 8 * u32::try_from(index).unwrap();
        guest.put(entry, &at.to_le_bytes());
        guest.put(entry + 4, &len.to_le_bytes());
        at += len;
    }
    guest.call(|c, m| fd::fd_write(c, m, fd, IOVS, 7, RESULT)).unwrap();
    assert_eq!(guest.u32(RESULT), at - DATA);
    guest.call(|c, m| fd::fd_close(c, m, fd)).unwrap();
    let expected = &pattern[..usize::try_from(at - DATA).unwrap()];
    assert!(reader.join().unwrap() == expected);
}

#[test]
fn peers_belong_to_their_connection() {
    let (mut guest, listener, address) = serving();
    let _client = TcpStream::connect(address).unwrap();
    let fd = accept(&mut guest, listener, 0).unwrap();
    let peer = guest.open(&format!("net/peer/{fd}")).unwrap();
    assert_eq!(guest.read(peer, 99).unwrap(), b"{\"kind\":\"anonymous\"}\n");
    for name in ["3", "99", "05", "x", "-1", &listener.to_string()] {
        assert_eq!(guest.open(&format!("net/peer/{name}")), Err(Errno::NoEntry), "{name}");
    }
    assert_eq!(guest.create(&format!("net/peer/{fd}")), Err(Errno::ReadOnly));
    guest.call(|c, m| fd::fd_close(c, m, fd)).unwrap();
    assert_eq!(guest.open(&format!("net/peer/{fd}")), Err(Errno::NoEntry));
}

#[test]
fn refusals_are_told() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let on = Rc::clone(&told);
    let mut guest = Guest::of(
        &Config::default(),
        Net::default(),
        Rc::new(move |event| on.borrow_mut().push(event)),
    );
    assert_eq!(guest.open("net/con/example.com:443"), Err(Errno::Access));
    assert_eq!(guest.open("net/lis/50000"), Err(Errno::Access));
    let event = |path: &str, message: &str| RuntimeEvent::NetworkRefused {
        path: path.to_owned(),
        message: message.to_owned(),
    };
    assert_eq!(
        *told.borrow(),
        [
            event("/net/con/example.com:443", "no rule for example.com"),
            event("/net/lis/50000", "no rule for port 50000")
        ]
    );
    for name in
        ["net/lis/0", "net/lis/70000", "net/lis/080", "net/lis/x", "net/con/a b", "net/con/h:0"]
    {
        assert_eq!(guest.open(name), Err(Errno::NoEntry), "{name}");
    }
    assert_eq!(guest.open_with("net/lis/1", oflags::DIRECTORY, 0, 0), Err(Errno::NotDirectory));
    assert_eq!(guest.open_with("net/lis/1", 0, 0, fdflags::APPEND), Err(Errno::Invalid));
    assert_eq!(guest.open("net/con/h/x"), Err(Errno::NotDirectory));
}

#[test]
fn only_sockets_are_sockets() {
    let (mut guest, listener, _address) = serving();
    let motd = guest.open("etc/motd").unwrap();
    assert_eq!(accept(&mut guest, motd, 0), Err(Errno::NotSocket));
    assert_eq!(accept(&mut guest, 99, 0), Err(Errno::BadFd));
    assert_eq!(accept(&mut guest, listener, 1), Err(Errno::Invalid));
    assert_eq!(recv(&mut guest, motd, 1, 0), Err(Errno::NotSocket));
    assert_eq!(recv(&mut guest, listener, 1, 0), Err(Errno::NotConnected));
    assert_eq!(recv(&mut guest, motd, 1, 4), Err(Errno::Invalid));
    assert_eq!(
        guest.call(|c, m| sock::sock_send(c, m, motd, IOVS, 1, 0, RESULT)),
        Err(Errno::NotSocket)
    );
    assert_eq!(
        guest.call(|c, m| sock::sock_send(c, m, motd, IOVS, 1, 1, RESULT)),
        Err(Errno::Invalid)
    );
    assert_eq!(guest.call(|c, m| sock::sock_shutdown(c, m, motd, 1)), Err(Errno::NotSocket));
    assert_eq!(guest.read(listener, 1), Err(Errno::NotConnected));
}

#[test]
fn listed_descriptors_come_in_order() {
    let config = Config::parse(
        r#"
        files = [
            { kind = "null" },
            { kind = "stdout" },
            { kind = "listen", name = "web", prot = "tcp", port = 8080 },
        ]
        "#,
    )
    .unwrap();
    let (sender, receiver) = channel();
    let net = Net { listening: Some(sender), server: None };
    let mut guest = Guest::of(&config, net, Rc::new(|_event| {}));
    let _client = TcpStream::connect(receiver.recv().unwrap()).unwrap();
    assert_eq!(accept(&mut guest, 2, 0), Ok(4));
    let tags: Vec<_> = (0..4)
        .map(|fd| {
            guest.call(|c, m| fd::fd_prestat_get(c, m, fd, RESULT)).unwrap();
            guest.u32(RESULT)
        })
        .collect();
    assert_eq!(tags, [1, 1, 1, 0]);
    assert_eq!(guest.read(0, 9).unwrap(), b"");
}
