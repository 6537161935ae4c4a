//! `cargo dev demo`: a payments shop, live. Its changes flow through both programs, and each feature stands
//! beside the same number asked from PostgreSQL. It ends by comparing every feature of every user.

mod compare;
mod features;
mod programs;
mod screen;
mod shop;

use crate::say;
use features::Features;
use programs::Programs;
use screen::{Screen, View};
use shop::Shop;
use stack::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const USAGE: &str = "cargo dev demo [--seconds N] [--rate CHANGES_PER_SECOND] [--kafka]";
/// An ordinary shop's afternoon, and a load that leaves a small machine free.
const DEFAULT_RATE: u32 = 200;
/// Windows move with time: two clocks may disagree about a row for a moment, but not for long.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Options {
    /// Until Ctrl-C if `None`.
    seconds: Option<u64>,
    rate: u32,
    /// With real Kafka and registry between the two programs, and features read from Redis.
    kafka: bool,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Options> {
        let mut options = Options { seconds: None, rate: DEFAULT_RATE, kafka: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let text = words.next().copied().unwrap_or_default();
                text.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(|| {
                    Error::new(format!("{word} needs a number above 0, not {text:?}")).remedy(USAGE)
                })
            };
            match *word {
                "--seconds" => options.seconds = Some(number()?.into()),
                "--rate" => options.rate = number()?,
                "--kafka" => options.kafka = true,
                other => return Err(Error::new(format!("{other} is not known")).remedy(USAGE)),
            }
        }
        Ok(options)
    }
}

pub fn run(words: &[&str]) -> Result<()> {
    let options = Options::parse(words)?;
    let asked_to_stop = listen()?;
    crate::say("building both programs (release)");
    crate::release::build()?;
    say("starting a throw-away PostgreSQL, and the two programs beside it");
    let shop = Shop::open()?;
    let mut programs = Programs::start(&shop, options.kafka)?;
    let mut features = programs.features()?;
    let writers = shop.write(options.rate)?;
    let start = Instant::now();
    let mut screen = Screen::new();
    let over = || {
        let late = options.seconds.is_some_and(|seconds| start.elapsed() > Duration::from_secs(seconds));
        late || asked_to_stop.load(Ordering::Relaxed)
    };
    while !over() {
        programs.check()?;
        screen.show(&view(&shop, &mut programs, &mut features, start)?);
        screen.pause(&over);
    }
    say("stopping the writers");
    writers.stop()?;
    finish(&shop, &mut programs, &mut features)
}

/// Set when the person wants it to end. A second Ctrl-C ends it at once.
fn listen() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let asked = flag.clone();
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            // Children end with us.
            std::process::exit(130);
        }
    })
    .map_err(|error| Error::new(format!("listen for Ctrl-C: {error}")))?;
    Ok(flag)
}

fn view(shop: &Shop, programs: &mut Programs, features: &mut Features, start: Instant) -> Result<View> {
    Ok(View {
        elapsed: start.elapsed(),
        changes: shop.changes(),
        records: programs.records(),
        memory_mib: programs.memory_mib(),
        // Asked one right after the other, so that little can happen in between.
        features: features.ask(shop::USERS)?,
        wanted: compare::ask(shop)?,
    })
}

/// Waits until all has arrived, compares every feature of every user, and prints the sums.
fn finish(shop: &Shop, programs: &mut Programs, features: &mut Features) -> Result<()> {
    say("waiting until every change has arrived");
    programs.wait_confirmed(shop)?;
    let start = Instant::now();
    let (different, compared) = loop {
        let (found, wanted) = (features.ask(shop::USERS)?, compare::ask(shop)?);
        let different = compare::differences(&found, &wanted);
        if different.is_empty() || start.elapsed() > SETTLE_LIMIT {
            break (different, wanted.len() * features::NAMES.len());
        }
        programs.check()?;
        std::thread::sleep(Duration::from_millis(200));
    };
    for line in &different {
        say(line);
    }
    let mut mismatches = different.len();
    if let Some((stored, made)) = programs.central_records()? {
        say(&format!("records in Kafka {stored}, made by the connector {made}"));
        mismatches += usize::from(stored != made);
    }
    say(&format!(
        "changes {}   records {}   features compared {compared}   mismatches = {mismatches}",
        shop.changes(),
        programs.records(),
    ));
    programs.stop()?;
    if mismatches == 0 { Ok(()) } else { Err(Error::new("what arrived is not what PostgreSQL holds")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let plain = Options { seconds: None, rate: DEFAULT_RATE, kafka: false };
        let cases: [(&[&str], Option<Options>); 5] = [
            (&[], Some(plain.clone())),
            (&["--seconds", "5", "--kafka"], Some(Options { seconds: Some(5), kafka: true, ..plain })),
            (&["--seconds"], None),
            (&["--rate", "0"], None),
            (&["--fast"], None),
        ];
        for (words, expected) in cases {
            assert_eq!(Options::parse(words).ok(), expected, "{words:?}");
        }
    }
}
