//! What a person sees: redrawn in place on a terminal, a line now and then anywhere else.

use super::compare::equal;
use super::features::{NAMES, Values};
use crate::say;
use std::io::{IsTerminal, stdout};
use std::thread::sleep;
use std::time::{Duration, Instant};

const TERMINAL_PAUSE: Duration = Duration::from_millis(500);
const PLAIN_PAUSE: Duration = Duration::from_secs(5);
/// The feature shown beside PostgreSQL's answer; all are compared.
const SHOWN: &str = "avg_spend_10m";

/// One look at everything.
pub struct View {
    pub elapsed: Duration,
    pub changes: u64,
    pub records: u64,
    /// Connector and agent.
    pub memory_mib: (f64, f64),
    pub features: Vec<Values>,
    pub wanted: Vec<Values>,
}

impl View {
    fn equal_users(&self) -> usize {
        let users = self.features.iter().zip(&self.wanted);
        users.filter(|(found, wanted)| found.iter().zip(*wanted).all(|(f, w)| equal(*f, *w))).count()
    }
}

/// Remembers what the last look said, for rates, and how much to draw over.
pub struct Screen {
    terminal: bool,
    drawn_lines: usize,
    last: Option<(Instant, u64, u64)>,
}

impl Screen {
    pub fn new() -> Screen {
        Screen { terminal: stdout().is_terminal(), drawn_lines: 0, last: None }
    }

    pub fn show(&mut self, view: &View) {
        let rates = self.rates(view);
        if !self.terminal {
            say(&line(view, rates));
            return;
        }
        let lines = page(view, rates);
        let back =
            if self.drawn_lines > 0 { format!("\x1b[{}A\x1b[J", self.drawn_lines) } else { String::new() };
        say(&format!("{back}{}", lines.join("\n")));
        self.drawn_lines = lines.len();
    }

    /// Waits until the next look is due, or it is over.
    pub fn pause(&self, over: &dyn Fn() -> bool) {
        let (start, pause) = (Instant::now(), if self.terminal { TERMINAL_PAUSE } else { PLAIN_PAUSE });
        while start.elapsed() < pause && !over() {
            sleep(Duration::from_millis(50));
        }
    }

    /// Changes and records a second since the last look.
    fn rates(&mut self, view: &View) -> (f64, f64) {
        let now = Instant::now();
        let rates = self.last.map_or((0.0, 0.0), |(then, changes, records)| {
            let seconds = now.duration_since(then).as_secs_f64().max(1e-3);
            let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
            (rate(view.changes, changes), rate(view.records, records))
        });
        self.last = Some((now, view.changes, view.records));
        rates
    }
}

fn line(view: &View, (changes, records): (f64, f64)) -> String {
    format!(
        "{:>4} s   changes {} ({changes:.0}/s)   records {} ({records:.0}/s)   users equal to PostgreSQL {}/{}",
        view.elapsed.as_secs(),
        view.changes,
        view.records,
        view.equal_users(),
        view.wanted.len()
    )
}

fn page(view: &View, (changes, records): (f64, f64)) -> Vec<String> {
    let (connector, agent) = view.memory_mib;
    let mut lines = vec![
        format!(
            "PostgreSQL → tidegate-connector → tidegate-agent   {} s, Ctrl-C ends",
            view.elapsed.as_secs()
        ),
        String::new(),
        format!("  changes committed   {:>10}   {changes:>7.0}/s", view.changes),
        format!("  records streamed    {:>10}   {records:>7.0}/s", view.records),
        format!("  memory              connector {connector:.0} MiB, agent {agent:.0} MiB"),
        String::new(),
        format!("  user   {SHOWN:>16}   {:>16}", "PostgreSQL says"),
    ];
    let shown = NAMES.iter().position(|name| *name == SHOWN).unwrap_or(0);
    for (user, (found, wanted)) in view.features.iter().zip(&view.wanted).enumerate() {
        let value = |values: &Values| values.get(shown).copied().flatten();
        let (found, wanted) = (value(found), value(wanted));
        let text = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.6}"));
        let mark = if equal(found, wanted) { "=" } else { "…" };
        lines.push(format!("  {:>4}   {:>16}   {:>16}   {mark}", user + 1, text(found), text(wanted)));
    }
    lines.push(String::new());
    lines.push(format!(
        "  {} of {} users: all {} features equal at this moment",
        view.equal_users(),
        view.wanted.len(),
        NAMES.len()
    ));
    lines
}
