// SPDX-License-Identifier: Apache-2.0

//! Bounds on what one client may take.
//!
//! A client is an IPv4 address, or the /64 network of an IPv6 address, as seen by the socket. What a header says about
//! who asks (`X-Forwarded-For`) is not believed: anybody can write it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Most clients whose pace is remembered in one generation; there are two.
const CLIENTS_MAX: usize = 32_768;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So often in a second, in the long run.
    pub per_second: NonZero<u32>,
    /// So often at once.
    pub burst: NonZero<u32>,
}

impl Rate {
    /// `n` times in a second, twice as often at once; none for 0.
    pub fn per_second(n: u32) -> Option<Self> {
        let per_second = NonZero::new(n)?;
        Some(Self { per_second, burst: per_second.saturating_add(n) })
    }
}

/// What one client may take, see [`Limits`](crate::Limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// How often it may ask, and also how often it may connect (no limit). A request too many is told 429; a connection
    /// too many is closed unheard.
    pub rate: Option<Rate>,
    /// Its connections at once (no limit); one too many is closed unheard.
    pub connections_max: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { rate: None, connections_max: usize::MAX }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            #[allow(clippy::cast_possible_truncation, reason = "the upper 64 bits of 128")]
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// All clients, in bounded memory.
#[derive(Debug)]
pub(crate) struct Clients {
    requests: Option<Pace>,
    connections: Option<Pace>,
    connections_max: usize,
    open: Arc<Mutex<HashMap<Client, usize>>>,
}

/// A connection that counts while this exists.
#[derive(Debug)]
pub(crate) struct Open {
    client: Client,
    open: Arc<Mutex<HashMap<Client, usize>>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

impl Clients {
    pub(crate) fn new(limits: ClientLimits) -> Self {
        let pace = || limits.rate.map(|rate| Pace::new(rate, CLIENTS_MAX));
        Self {
            requests: pace(),
            connections: pace(),
            connections_max: limits.connections_max,
            open: Arc::default(),
        }
    }

    /// Whether this client may ask now, or after which time.
    pub(crate) fn request(&self, address: IpAddr) -> Result<(), Duration> {
        self.requests.as_ref().map_or(Ok(()), |pace| pace.take(address.into(), Instant::now()))
    }

    /// Whether this client may connect now. As many are remembered as there are connections.
    pub(crate) fn connect(&self, address: IpAddr) -> Option<Open> {
        let client = Client::from(address);
        if let Some(pace) = &self.connections {
            pace.take(client, Instant::now()).ok()?;
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count >= self.connections_max {
            return None;
        }
        *count += 1;
        Some(Open { client, open: self.open.clone() })
    }
}

/// The pace of each client: a token bucket, kept as the time when it will be full again (the generic cell rate
/// algorithm of ITU-T I.371).
///
/// There are two generations, and each is bounded: when the younger one is full, the older one is forgotten. A client
/// that is forgotten starts anew with a full bucket.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    tolerance: Duration,
    clients_max: usize,
    generations: Mutex<[HashMap<Client, Instant>; 2]>,
}

impl Pace {
    fn new(rate: Rate, clients_max: usize) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.get();
        let tolerance = interval * rate.burst.get();
        Self { interval, tolerance, clients_max, generations: Mutex::default() }
    }

    fn take(&self, client: Client, now: Instant) -> Result<(), Duration> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *generations;
        let known = young.get(&client).or_else(|| old.get(&client)).copied();
        let full_at = known.map_or(now, |at| at.max(now)) + self.interval;
        let excess = full_at.duration_since(now).saturating_sub(self.tolerance);
        if excess > Duration::ZERO {
            return Err(excess);
        }
        if young.len() >= self.clients_max && !young.contains_key(&client) {
            *old = std::mem::take(young);
        }
        young.insert(client, full_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second: NonZero::new(per_second).unwrap(), burst: NonZero::new(burst).unwrap() }
    }

    fn client(text: &str) -> Client {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_burst_passes_and_then_the_pace_holds() {
        let pace = Pace::new(rate(10, 3), 8);
        let (a, b) = (client("192.0.2.1"), client("192.0.2.2"));
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        for _ in 0..3 {
            assert_eq!(pace.take(a, at(0)), Ok(()));
        }
        assert_eq!(pace.take(a, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(pace.take(b, at(0)), Ok(()), "others have their own");
        assert_eq!(pace.take(a, at(99)), Err(Duration::from_millis(1)));
        assert_eq!(pace.take(a, at(100)), Ok(()));
        assert_eq!(pace.take(a, at(100)), Err(Duration::from_millis(100)));
        // In the long run it is the pace, and a pause earns no more than a burst.
        let passed = (0..1000).filter(|n| pace.take(a, at(10_000 + n)).is_ok()).count();
        assert_eq!(passed, 3 + 9);
    }

    #[test]
    fn memory_is_bounded_and_those_who_stay_are_remembered() {
        let pace = Pace::new(rate(1, 2), 100);
        let now = Instant::now();
        let busy = client("192.0.2.1");
        assert!(pace.take(busy, now).is_ok() && pace.take(busy, now).is_ok());
        for n in 0..150_u32 {
            pace.take(Client::V4(n), now).unwrap();
        }
        assert!(pace.take(busy, now).is_err());
        for n in 150..10_000_u32 {
            pace.take(Client::V4(n), now).unwrap();
        }
        let [young, old] = &*pace.generations.lock().unwrap();
        assert!(young.len() <= 100 && old.len() <= 100, "{} {}", young.len(), old.len());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:0:0:9"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn connections_of_a_client_are_counted_while_they_are_open() {
        let clients = Clients::new(ClientLimits { rate: None, connections_max: 2 });
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let first = clients.connect(address).unwrap();
        let _second = clients.connect(address).unwrap();
        assert!(clients.connect(address).is_none());
        assert!(clients.connect("192.0.2.2".parse().unwrap()).is_some());
        drop(first);
        assert!(clients.connect(address).is_some());
        assert_eq!(clients.open.lock().unwrap().len(), 1, "nobody else is remembered");
    }
}
