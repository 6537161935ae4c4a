//! Few records are sent at once, many wait for each other: two producers, of which one is in use.
//!
//! librdkafka knows one waiting time only. None makes a request of each record, which costs the connector and
//! the brokers much under load; a few milliseconds are most of what a lone record takes from commit to
//! consumer. So there is a producer of each kind, and one takes over from the other when nothing is in
//! flight: order is kept. The one for many begins.

use super::kafka::producer;
use super::report::Reports;
use rdkafka::ClientConfig;
use rdkafka::producer::BaseProducer;
use shared::Result;
use std::time::{Duration, Instant};

/// How long one of many waits for others.
pub const LINGER_MS: u32 = 5;
/// In flight with the producer for few, these are many: a cluster nearby acknowledges some hundred thousand a
/// second before so many wait.
const MANY: usize = 500;
/// Fewer in flight with the producer for many, for so long, are few. A producer just made needs as long again
/// to find the brokers and to be given its number by them.
const FEW: usize = 100;
const CALM: Duration = Duration::from_secs(1);

pub struct Gears {
    /// Of the producer for few, which is made when it is needed first.
    client: ClientConfig,
    parked: Option<BaseProducer<Reports>>,
    gear: Gear,
    /// More than a few were in flight since the last look.
    crowded: bool,
    calm_since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gear {
    Few,
    Many,
    /// What is in flight is waited for; then the other producer takes over.
    ToFew,
    ToMany,
}

impl Gears {
    /// `many`: the producer that begins.
    pub fn new(many: &ClientConfig) -> Gears {
        let mut client = many.clone();
        client.set("linger.ms", "0");
        Gears { client, parked: None, gear: Gear::Many, crowded: false, calm_since: Instant::now() }
    }

    /// Puts the right producer in use. `false`: it has to wait until nothing is in flight.
    #[inline]
    pub fn shift(&mut self, used: &mut BaseProducer<Reports>, in_flight: usize) -> bool {
        match (self.gear, in_flight) {
            (Gear::Many, _) => {
                self.crowded |= in_flight >= FEW;
                true
            }
            (Gear::Few, ..MANY) => true,
            (Gear::Few, _) => {
                self.gear = Gear::ToMany;
                false
            }
            (Gear::ToFew, 0) => {
                self.swap(used, Gear::Few);
                true
            }
            (Gear::ToMany, 0) => {
                self.swap(used, Gear::Many);
                true
            }
            (Gear::ToFew | Gear::ToMany, _) => false,
        }
    }

    #[cfg(test)]
    pub fn few(&self) -> bool {
        self.gear == Gear::Few
    }

    #[cold]
    fn swap(&mut self, used: &mut BaseProducer<Reports>, gear: Gear) {
        if let Some(parked) = &mut self.parked {
            std::mem::swap(used, parked);
        }
        (self.calm_since, self.crowded) = (Instant::now(), false);
        self.gear = gear;
    }

    /// Looks now and then whether it has become calm, and lets the parked producer speak.
    pub fn look(&mut self) -> Result<()> {
        if let Some(parked) = &self.parked {
            parked.poll(Duration::ZERO);
        }
        if self.gear != Gear::Many {
            return Ok(());
        }
        if std::mem::take(&mut self.crowded) {
            self.calm_since = Instant::now();
        } else if self.calm_since.elapsed() >= CALM {
            self.calm_since = Instant::now();
            match self.parked {
                Some(_) => self.gear = Gear::ToFew,
                None => self.parked = Some(producer(&self.client)?),
            }
        }
        Ok(())
    }
}
