// SPDX-License-Identifier: Apache-2.0

use super::super::{poll, sock};
use super::*;
use crate::vfs::{Descriptor, HostEnd, Object};

const CLOCK: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// One subscription: kind, clock or descriptor, nanoseconds, flags. Its number is its place.
type Wanted = (u8, u32, u64, u16);

/// One event: number, error, kind, bytes, flags.
type Told = (u64, u16, u8, u64, u16);

fn wait(guest: &mut Guest, wanted: &[Wanted]) -> Result<Vec<Told>, Errno> {
    for (index, (kind, id, time, flags)) in wanted.iter().enumerate() {
        let at = DATA + 48 * u32::try_from(index).unwrap();
        guest.put(at, &u64::try_from(index).unwrap().to_le_bytes());
        guest.put(at + 8, &[*kind]);
        guest.put(at + 16, &id.to_le_bytes());
        guest.put(at + 24, &time.to_le_bytes());
        guest.put(at + 40, &flags.to_le_bytes());
    }
    let count = u32::try_from(wanted.len()).unwrap();
    // Where the events go, the subscriptions are.
    guest.call(|c, m| poll::poll_oneoff(c, m, DATA, DATA, count, RESULT))?;
    let events = guest.u32(RESULT);
    Ok((0..events)
        .map(|index| {
            let at = DATA + 32 * index;
            let kind = guest.get(at + 10, 1)[0];
            (guest.u64(at), guest.u16(at + 8), kind, guest.u64(at + 16), guest.u16(at + 24))
        })
        .collect())
}

#[test]
fn time_passes() {
    let mut guest = Guest::new();
    let before = std::time::Instant::now();
    assert_eq!(wait(&mut guest, &[(CLOCK, 1, 5_000_000, 0)]).unwrap(), [(0, 0, CLOCK, 0, 0)]);
    assert_eq!(wait(&mut guest, &[(CLOCK, 0, 5_000_000, 0)]).unwrap(), [(0, 0, CLOCK, 0, 0)]);
    assert!(before.elapsed().as_millis() >= 10);
    // Moments long gone; one of them far away.
    let wanted = [(CLOCK, 0, 1, 1), (CLOCK, 1, u64::MAX, 0), (CLOCK, 1, 1, 1)];
    let told = wait(&mut guest, &wanted).unwrap();
    assert_eq!(told.iter().map(|event| event.0).collect::<Vec<_>>(), [0, 2]);
    let told = wait(&mut guest, &[(CLOCK, 2, 1, 0), (CLOCK, 9, 1, 0)]).unwrap();
    assert_eq!(told, [(0, 58, CLOCK, 0, 0), (1, 28, CLOCK, 0, 0)]);
}

#[test]
fn nonsense_is_refused() {
    let mut guest = Guest::new();
    assert_eq!(wait(&mut guest, &[]), Err(Errno::Invalid));
    assert_eq!(wait(&mut guest, &[(3, 0, 0, 0)]), Err(Errno::Invalid));
    for count in [u32::MAX, 16_385] {
        let told = guest.call(|c, m| poll::poll_oneoff(c, m, 0, 0, count, RESULT));
        assert_eq!(told, Err(Errno::Invalid));
    }
    let end = u32::try_from(guest.memory.len()).unwrap();
    assert_eq!(
        guest.call(|c, m| poll::poll_oneoff(c, m, end - 47, 0, 1, RESULT)),
        Err(Errno::Fault)
    );
    assert_eq!(
        guest.call(|c, m| poll::poll_oneoff(c, m, 0, end - 31, 1, RESULT)),
        Err(Errno::Fault)
    );
    assert_eq!(wait(&mut guest, &[(READ, 99, 0, 0)]).unwrap(), [(0, 8, READ, 0, 0)]);
}

#[test]
fn files_are_always_ready() {
    let mut guest = Guest::new();
    let motd = guest.open("etc/motd").unwrap();
    let told =
        wait(&mut guest, &[(READ, motd, 0, 0), (WRITE, motd, 0, 0), (READ, 0, 0, 0)]).unwrap();
    assert_eq!(told, [(0, 0, READ, 13, 0), (1, 0, WRITE, 0, 0), (2, 0, READ, 1, 0)]);
}

#[test]
fn sockets_wake_up() {
    let (mut guest, listener, address) = serving();
    let day = (CLOCK, 1, 86_400_000_000_000, 0);
    assert_eq!(wait(&mut guest, &[(READ, listener, 0, 0), (CLOCK, 1, 0, 0)]).unwrap().len(), 1);
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"abc").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _end = stream.read(&mut [0]);
    });
    let told = wait(&mut guest, &[day, (READ, listener, 0, 0)]).unwrap();
    assert_eq!(told, [(1, 0, READ, 1, 0)]);
    guest.call(|c, m| sock::sock_accept(c, m, listener, 4, RESULT)).unwrap();
    let fd = guest.u32(RESULT);
    assert_eq!(wait(&mut guest, &[day, (READ, fd, 0, 0)]).unwrap(), [(1, 0, READ, 3, 0)]);
    assert_eq!(wait(&mut guest, &[day, (WRITE, fd, 0, 0)]).unwrap(), [(1, 0, WRITE, 0, 0)]);
    assert_eq!(guest.read(fd, 9).unwrap(), b"abc");
    assert_eq!(wait(&mut guest, &[day, (READ, fd, 0, 0)]).unwrap(), [(1, 0, READ, 0, 1)]);
    assert_eq!(guest.read(fd, 9).unwrap(), b"");
    drop(guest);
    client.join().unwrap();
}

#[test]
fn the_standard_streams_of_the_host() {
    let mut guest = Guest::new();
    let (input, theirs) = rustix::pipe::pipe().unwrap();
    let (read_end, output) = rustix::pipe::pipe().unwrap();
    for (fd, object) in [
        (0, Object::Input(HostEnd(Box::new(input)))),
        (1, Object::Output(HostEnd(Box::new(output)))),
    ] {
        *guest.context.table.get_mut(fd).unwrap() = Descriptor::new(object);
    }
    let day = (CLOCK, 1, 86_400_000_000_000, 0);
    assert_eq!(wait(&mut guest, &[(READ, 0, 0, 0), (CLOCK, 1, 0, 0)]).unwrap().len(), 1);
    guest.call(|c, m| fd::fd_fdstat_set_flags(c, m, 0, 4)).unwrap();
    assert_eq!(guest.read(0, 9), Err(Errno::Again));
    guest.call(|c, m| fd::fd_fdstat_set_flags(c, m, 0, 0)).unwrap();
    rustix::io::write(&theirs, b"line\n").unwrap();
    assert_eq!(wait(&mut guest, &[day, (READ, 0, 0, 0)]).unwrap(), [(1, 0, READ, 1, 0)]);
    assert_eq!(guest.read(0, 99).unwrap(), b"line\n");
    drop(theirs);
    assert_eq!(guest.read(0, 99).unwrap(), b"");
    assert_eq!(guest.write(0, b"x"), Err(Errno::BadFd));
    assert_eq!(guest.read(1, 1), Err(Errno::BadFd));

    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        std::fs::File::from(read_end).read_to_end(&mut bytes).unwrap();
        bytes.len()
    });
    assert_eq!(wait(&mut guest, &[day, (WRITE, 1, 0, 0)]).unwrap(), [(1, 0, WRITE, 0, 0)]);
    assert_eq!(guest.write(1, &[b'x'; 300_000]), Ok(300_000));
    drop(guest);
    assert_eq!(reader.join().unwrap(), 300_000);
}
