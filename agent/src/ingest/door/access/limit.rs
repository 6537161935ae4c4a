//! How much each client may send and fetch, and how many connections an address may have.
//!
//! Who is above its limit is read from later: what is not read fills the client's socket, which any
//! client feels. (Kafka's `throttle_time_ms` is only heeded by some: librdkafka ignores it.)

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients that are not connected are forgotten when more than this are remembered.
const MAX_IDLE: usize = 1_024;

/// A bucket of bytes that fills with time; it holds one second's worth.
#[derive(Debug)]
pub(in super::super) struct Bucket {
    bytes_per_second: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Below zero: owed.
    left: f64,
    at: Instant,
}

impl Bucket {
    fn new(bytes_per_second: u64, now: Instant) -> Bucket {
        Bucket { bytes_per_second, state: Mutex::new(State { left: bytes_per_second as f64, at: now }) }
    }

    /// Takes so many bytes; how long to wait before the next are read.
    pub fn take(&self, bytes: usize, now: Instant) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let rate = self.bytes_per_second as f64;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = now.saturating_duration_since(state.at).as_secs_f64() * rate;
        state.left = (state.left + grown).min(rate) - bytes as f64;
        state.at = now;
        Duration::from_secs_f64((-state.left / rate).max(0.0))
    }
}

/// The buckets of all clients, by user or address: all connections of one share one.
#[derive(Default)]
pub(in super::super) struct Buckets(Mutex<HashMap<String, Arc<Bucket>>>);

impl Buckets {
    pub fn of(&self, client: &str, bytes_per_second: u64) -> Arc<Bucket> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_IDLE {
            buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1);
        }
        let bucket = buckets
            .entry(client.to_owned())
            .or_insert_with(|| Arc::new(Bucket::new(bytes_per_second, Instant::now())));
        Arc::clone(bucket)
    }
}

/// Open connections per address.
#[derive(Clone, Default)]
pub(in super::super) struct Addresses(Arc<Mutex<HashMap<IpAddr, u32>>>);

/// A place that is given back when it goes.
pub(in super::super) struct Place {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    pub fn place(&self, address: IpAddr, limit: u32) -> Option<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_with_time_and_holds_a_second() {
        let start = Instant::now();
        let bucket = Bucket::new(1_000, start);
        let after = |ms| start + Duration::from_millis(ms);
        for (at_ms, bytes, wait_ms) in
            [(0, 600, 0), (0, 400, 0), (0, 500, 500), (500, 0, 0), (10_000, 1_500, 500), (10_250, 0, 250)]
        {
            let wait = bucket.take(bytes, after(at_ms));
            assert_eq!(wait.as_secs_f64(), f64::from(wait_ms) / 1_000.0, "{bytes} bytes at {at_ms} ms");
        }
        assert_eq!(Bucket::new(0, start).take(usize::MAX, start), Duration::ZERO, "0 is no limit");
    }

    #[test]
    fn places_are_counted_per_address_and_given_back() {
        let addresses = Addresses::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let places: Vec<Place> = (0..2).filter_map(|_| addresses.place(one, 2)).collect();
        assert_eq!(places.len(), 2);
        assert!(addresses.place(one, 2).is_none() && addresses.place(other, 2).is_some());
        drop(places);
        assert!(addresses.place(one, 2).is_some());
    }

    #[test]
    fn connections_of_one_client_share_a_bucket() {
        let buckets = Buckets::default();
        assert!(Arc::ptr_eq(&buckets.of("a", 1), &buckets.of("a", 1)));
        assert!(!Arc::ptr_eq(&buckets.of("a", 1), &buckets.of("b", 1)));
    }
}
