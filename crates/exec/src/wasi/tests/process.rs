// SPDX-License-Identifier: Apache-2.0

use super::super::{clock, process};
use super::*;

#[test]
fn arguments_and_environment() {
    let mut guest = Guest::new();
    guest.call(|c, m| process::args_sizes_get(c, m, 0, 4)).unwrap();
    assert_eq!((guest.u32(0), guest.u32(4)), (2, 14));
    guest.call(|c, m| process::args_get(c, m, 0, DATA)).unwrap();
    assert_eq!((guest.u32(0), guest.u32(4)), (DATA, DATA + 10));
    assert_eq!(guest.get(DATA, 14), b"main.wasm\0a b\0");
    guest.call(|c, m| process::environ_sizes_get(c, m, 0, 4)).unwrap();
    assert_eq!((guest.u32(0), guest.u32(4)), (1, 4));
    guest.call(|c, m| process::environ_get(c, m, 0, DATA)).unwrap();
    assert_eq!(guest.get(DATA, 4), b"K=V\0");

    let end = u32::try_from(guest.memory.len()).unwrap();
    for at in [end, end - 13, u32::MAX] {
        assert_eq!(guest.call(|c, m| process::args_get(c, m, 0, at)), Err(Errno::Fault));
    }
    assert_eq!(guest.call(|c, m| process::args_get(c, m, end - 4, 0)), Err(Errno::Fault));
}

#[test]
fn randomness_differs() {
    let mut guest = Guest::new();
    guest.call(|c, m| process::random_get(c, m, 0, 64)).unwrap();
    assert_ne!(guest.get(0, 32), guest.get(32, 32));
    guest.call(|c, m| process::random_get(c, m, 0, 0)).unwrap();
    assert_eq!(guest.call(|c, m| process::random_get(c, m, 1, u32::MAX)), Err(Errno::Fault));
    assert_eq!(guest.call(|c, m| process::proc_raise(c, m, 6)), Err(Errno::NotSupported));
    guest.call(process::sched_yield).unwrap();
}

#[test]
fn clocks_tick() {
    let mut guest = Guest::new();
    for id in 0..4 {
        guest.call(|c, m| clock::clock_res_get(c, m, id, 0)).unwrap();
        assert!((1..1_000_000_000).contains(&guest.u64(0)));
        guest.call(|c, m| clock::clock_time_get(c, m, id, 0, 0)).unwrap();
        guest.call(|c, m| clock::clock_time_get(c, m, id, 0, 8)).unwrap();
        assert!(guest.u64(8) >= guest.u64(0));
        assert_ne!(guest.u64(8), 0);
    }
    assert_eq!(guest.call(|c, m| clock::clock_res_get(c, m, 4, 0)), Err(Errno::Invalid));
    assert_eq!(guest.call(|c, m| clock::clock_time_get(c, m, 4, 0, 0)), Err(Errno::Invalid));

    let later = types::time::Timestamp(4_000_000_000);
    guest.context.clock.not_before(later);
    guest.call(|c, m| clock::clock_time_get(c, m, 0, 0, 0)).unwrap();
    assert_eq!(guest.u64(0), 4_000_000_000_000_000_000);
}
