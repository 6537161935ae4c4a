//! Few records are sent at once, many wait for each other: two producers, of which one is in use.
//!
//! librdkafka knows one waiting time only. While a request is under way, its thread turns without rest once a
//! record behind it has waited for that time; none at all costs the connector and the brokers much under load,
//! and a long one is most of what a lone record takes from commit to consumer. So there is a producer of each
//! kind, and one takes over from the other when nothing is in flight: order is kept. The one for few begins.
//! The one for many is our own ([`Bulk`]) where that can do what is asked for, else another of librdkafka's.

use super::bulk::{self, Access, Bulk};
use super::kafka::producer;
use super::report::Reports;
use crate::config::sink::SinkConfig;
use rdkafka::ClientConfig;
use rdkafka::producer::BaseProducer;
use shared::Result;
use std::time::{Duration, Instant};

/// How long one of many waits for others: about as long as it takes to fill a queue, and to empty it.
pub const LINGER_MS: u32 = 50;
/// In flight with the producer for few, these are many: a cluster nearby acknowledges some hundred thousand a
/// second before so many wait.
const MANY: usize = 500;
/// Fewer a second through the producer for many, for so long, are few.
const FEW_A_SECOND: f64 = 10_000.0;
const CALM: Duration = Duration::from_secs(1);
/// What a producer just made needs to find the brokers and to be given its number by them.
const FOUND: Duration = Duration::from_millis(300);
/// A parked producer that is not needed for so long goes: it holds a connection to each broker.
const PARKED: Duration = Duration::from_secs(10);
/// Our own has found the cluster by then, or another takes its place.
const BULK_FOUND: Duration = Duration::from_secs(2);

pub struct Gears {
    client: ClientConfig,
    config: SinkConfig,
    /// Our own's way to the brokers, if it can do what is asked for, as far as is known.
    bulk_access: Option<Access>,
    /// The other one; made when it is wanted.
    parked: Option<Parked>,
    /// When that was.
    made_at: Instant,
    parked_since: Instant,
    gear: Gear,
    /// Since the last look more were in flight than the producer for few is for.
    crowded: bool,
    /// Through the producer for many.
    sent: u32,
    sent_since: Instant,
}

enum Parked {
    /// It changes places with the one in use.
    Producer(BaseProducer<Reports>),
    /// It stays here; the one for few stays in its place meanwhile.
    Bulk(Box<Bulk>),
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
    /// `few`: the producer that begins.
    pub fn new(few: &ClientConfig, config: &SinkConfig) -> Gears {
        let (client, now) = (few.clone(), Instant::now());
        Gears {
            client,
            config: config.clone(),
            bulk_access: bulk::access(config),
            parked: None,
            made_at: now,
            parked_since: now,
            gear: Gear::Few,
            crowded: false,
            sent: 0,
            sent_since: now,
        }
    }

    /// Puts the right producer in use. `false`: it has to wait until nothing is in flight.
    #[inline]
    pub fn shift(&mut self, used: &mut BaseProducer<Reports>, in_flight: usize) -> bool {
        match (self.gear, in_flight) {
            (Gear::Many, _) => {
                self.sent = self.sent.saturating_add(1);
                true
            }
            (Gear::Few, ..MANY) => true,
            (Gear::Few, _) => {
                self.crowded = true;
                let ready = self.is_ready();
                if ready {
                    self.gear = Gear::ToMany;
                }
                !ready
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

    /// Whether the other one can take over.
    fn is_ready(&self) -> bool {
        match &self.parked {
            None => false,
            Some(Parked::Producer(_)) => self.made_at.elapsed() >= FOUND,
            Some(Parked::Bulk(bulk)) => bulk.is_ready(),
        }
    }

    /// Our own, if it is there, whether or not it is in use.
    pub fn bulk(&mut self) -> Option<&mut Bulk> {
        match &mut self.parked {
            Some(Parked::Bulk(bulk)) => Some(bulk),
            _ => None,
        }
    }

    /// Our own, if records go there.
    #[inline]
    pub fn bulk_in_use(&mut self) -> Option<&mut Bulk> {
        if self.gear == Gear::Many { self.bulk() } else { None }
    }

    #[cfg(test)]
    pub fn few(&self) -> bool {
        self.gear == Gear::Few
    }

    #[cfg(test)]
    pub fn parked(&self) -> bool {
        self.parked.is_some()
    }

    #[cold]
    fn swap(&mut self, used: &mut BaseProducer<Reports>, gear: Gear) {
        if let Some(Parked::Producer(parked)) = &mut self.parked {
            std::mem::swap(used, parked);
        }
        tracing::debug!(event = "producer_changed", to = ?gear, "another producer takes over");
        let now = Instant::now();
        (self.parked_since, self.crowded, self.gear) = (now, false, gear);
        (self.sent, self.sent_since) = (0, now);
    }

    /// Whether few come; what is counted begins anew when they were not.
    fn calm(&mut self) -> bool {
        let waited = self.sent_since.elapsed();
        if waited < CALM {
            return false;
        }
        let few = f64::from(self.sent) < FEW_A_SECOND * waited.as_secs_f64();
        if !few {
            (self.sent, self.sent_since) = (0, Instant::now());
        }
        few
    }

    /// Looks now and then which producer is wanted, and lets the parked one speak.
    pub fn look(&mut self, used: &mut BaseProducer<Reports>, in_flight: usize) -> Result<()> {
        if in_flight == 0 {
            self.shift(used, 0);
        }
        let crowded = std::mem::take(&mut self.crowded);
        let wanted = match self.gear {
            Gear::Few => crowded,
            Gear::Many => self.calm(),
            Gear::ToFew | Gear::ToMany => true,
        };
        match &mut self.parked {
            None if wanted => self.make()?,
            None => {}
            Some(Parked::Producer(parked)) => {
                parked.poll(Duration::ZERO);
                self.turn(wanted);
            }
            Some(Parked::Bulk(bulk)) => {
                if self.gear == Gear::ToFew {
                    bulk.close_all();
                }
                let late = self.made_at.elapsed() >= BULK_FOUND;
                if let Some(why) = bulk.unfit().or_else(|| (late && !bulk.is_ready()).then_some("it is away"))
                {
                    tracing::debug!(event = "bulk_unfit", why, "librdkafka sends to this cluster");
                    (self.bulk_access, self.parked) = (None, None);
                } else {
                    self.turn(wanted);
                }
            }
        }
        Ok(())
    }

    fn make(&mut self) -> Result<()> {
        let linger_ms = if self.gear == Gear::Many { "0".to_owned() } else { LINGER_MS.to_string() };
        self.parked = Some(match (self.gear, &self.bulk_access) {
            (Gear::Few, Some(access)) => Parked::Bulk(Box::new(Bulk::start(&self.config, access.clone())?)),
            _ => Parked::Producer(producer(self.client.clone().set("linger.ms", linger_ms))?),
        });
        self.made_at = Instant::now();
        self.parked_since = self.made_at;
        Ok(())
    }

    /// Begins to change, or lets the other one go.
    fn turn(&mut self, wanted: bool) {
        let in_use = self.gear == Gear::Many && self.bulk().is_some();
        if wanted && self.gear == Gear::Many && (in_use || self.made_at.elapsed() >= FOUND) {
            self.gear = Gear::ToFew;
        } else if !wanted && !in_use && self.parked_since.elapsed() >= PARKED {
            let parked = self.parked.take();
            // Its end waits for its threads; nothing of it is in flight.
            std::thread::spawn(move || drop(parked));
        }
    }
}
