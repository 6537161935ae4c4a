//! The shop: its database, and the people who write to it.

use fastrand::Rng;
use stack::error::Doing;
use stack::{Error, Postgres, Result};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

pub const DATABASE: &str = "shop";
pub const USERS: i64 = 12;
const MERCHANTS: u32 = 8;
/// Payments that are there before the first change, for the snapshot to read.
const OLD_PAYMENTS: u64 = 600;
const WRITERS: u64 = 3;
const MOST_STATEMENTS: u64 = 6;

/// The oldest payments are past the window already, the next ones leave it while one watches.
const TABLES: &str = "
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE merchants (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE payments (
  id bigserial PRIMARY KEY,
  user_id bigint NOT NULL REFERENCES users,
  merchant_id int NOT NULL REFERENCES merchants,
  amount numeric(12,2),
  status text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  note text
);
CREATE INDEX ON payments (user_id, created_at);";

/// A throw-away database with the shop's tables.
pub struct Shop {
    pub postgres: Postgres,
    changes: Arc<AtomicU64>,
    payments: Arc<AtomicU64>,
}

impl Shop {
    pub fn open() -> Result<Shop> {
        let postgres = Postgres::start(stack::postgres::Options::default())?;
        postgres.psql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        let rows = format!(
            "INSERT INTO users SELECT g, 'user ' || g FROM generate_series(1, {USERS}) g;
             INSERT INTO merchants SELECT g, 'merchant ' || g FROM generate_series(1, {MERCHANTS}) g;
             INSERT INTO payments (user_id, merchant_id, amount, status, created_at)
               SELECT 1 + g % {USERS}, 1 + g % {MERCHANTS}, (g * 37 % 40000)::numeric / 100,
                      CASE WHEN g % 5 = 0 THEN 'pending' ELSE 'settled' END,
                      now() - g * interval '1.2 seconds'
               FROM generate_series(1, {OLD_PAYMENTS}) g;"
        );
        postgres.psql(DATABASE, TABLES)?;
        postgres.psql(DATABASE, &rows)?;
        let payments = Arc::new(AtomicU64::new(OLD_PAYMENTS));
        Ok(Shop { postgres, changes: Arc::default(), payments })
    }

    /// Rows that PostgreSQL said it has inserted, updated or deleted since the writers began.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Begins to write, about `rate` changes a second.
    pub fn write(&self, rate: u32) -> Result<Writers> {
        let stop = Arc::new(AtomicBool::new(false));
        let each = f64::from(rate) / WRITERS as f64;
        let threads: Result<Vec<_>> = (0..WRITERS)
            .map(|number| {
                let mut psql = psql(&self.postgres)?;
                let reader = self.count(&mut psql)?;
                let (stop, payments) = (stop.clone(), self.payments.clone());
                Ok(std::thread::spawn(move || {
                    let written = Writer { number, rng: Rng::new(), payments }.run(&mut psql, each, &stop);
                    let status = psql.wait().doing(|| "wait for psql".to_owned())?;
                    let said = reader.join().unwrap_or_default();
                    if status.success() {
                        return written;
                    }
                    Err(Error::new(format!("a writer's psql failed: {}", said.trim())))
                }))
            })
            .collect();
        Ok(Writers { stop, threads: threads? })
    }

    /// Adds up psql's answers (`INSERT 0 1`, `UPDATE 2`, …); gives the rest of what it says, errors.
    fn count(&self, psql: &mut Child) -> Result<JoinHandle<String>> {
        let output = psql.stdout.take().ok_or_else(|| Error::new("psql has no output"))?;
        let (changes, payments) = (self.changes.clone(), self.payments.clone());
        Ok(std::thread::spawn(move || {
            let mut rest = String::new();
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                let rows = line.rsplit_once(' ').and_then(|(_, rows)| rows.parse::<u64>().ok());
                match (line.split(' ').next(), rows) {
                    (Some("INSERT"), Some(rows)) => {
                        payments.fetch_add(rows, Ordering::Relaxed);
                        changes.fetch_add(rows, Ordering::Relaxed);
                    }
                    (Some("UPDATE" | "DELETE"), Some(rows)) => {
                        changes.fetch_add(rows, Ordering::Relaxed);
                    }
                    (Some("BEGIN" | "COMMIT"), _) => {}
                    _ => rest.push_str(&format!("{line}\n")),
                }
            }
            rest
        }))
    }
}

/// A psql that says what each statement did.
fn psql(postgres: &Postgres) -> Result<Child> {
    let mut command: Command = postgres.psql_command(DATABASE);
    command.args(["-v", "QUIET=off"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().doing(|| "start a writer's psql".to_owned())
}

/// The running writers.
pub struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Writers {
    /// Ends them; every statement that was written has been executed then.
    pub fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| Error::new("a writer panicked"))??;
        }
        Ok(())
    }
}

/// One of the shop's people. Each changes only rows that are its own by number, so none waits for another.
struct Writer {
    number: u64,
    rng: Rng,
    payments: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self, psql: &mut Child, per_second: f64, stop: &AtomicBool) -> Result<()> {
        let what = || "write to psql".to_owned();
        let mut input = psql.stdin.take().ok_or_else(|| Error::new("psql has no input"))?;
        let (start, mut written) = (Instant::now(), 0.0);
        while !stop.load(Ordering::Relaxed) {
            let size = self.rng.u64(1..=MOST_STATEMENTS);
            let statements: String = (0..size).map(|_| self.statement()).collect();
            input.write_all(format!("BEGIN;\n{statements}COMMIT;\n").as_bytes()).doing(what)?;
            input.flush().doing(what)?;
            written += size as f64;
            let due = Duration::from_secs_f64(written / per_second);
            sleep(due.saturating_sub(start.elapsed()));
        }
        Ok(())
    }

    fn statement(&mut self) -> String {
        let known = self.payments.load(Ordering::Relaxed);
        let id = self.rng.u64(0..=known / WRITERS) * WRITERS + self.number;
        let amount = format!("{}.{:02}", self.rng.u32(1..400), self.rng.u32(0..100));
        match self.rng.u32(0..20) {
            0..=14 => self.insert(&amount),
            15 | 16 => format!("UPDATE payments SET amount = {amount} WHERE id = {id};\n"),
            17 | 18 => format!("UPDATE payments SET status = '{}' WHERE id = {id};\n", self.status()),
            _ => format!("DELETE FROM payments WHERE id = {id};\n"),
        }
    }

    /// Mostly of this moment; some come late, with a time of their own.
    fn insert(&mut self, amount: &str) -> String {
        let late_s = if self.rng.u32(0..10) == 0 { self.rng.u32(0..700) } else { 0 };
        let (user, merchant) = (self.rng.i64(1..=USERS), self.rng.u32(1..=MERCHANTS));
        let status = self.status();
        format!(
            "INSERT INTO payments (user_id, merchant_id, amount, status, created_at) VALUES \
             ({user}, {merchant}, {amount}, '{status}', clock_timestamp() - interval '{late_s} seconds');\n"
        )
    }

    fn status(&mut self) -> &'static str {
        match self.rng.u32(0..10) {
            0..=7 => "settled",
            8 => "pending",
            _ => "failed",
        }
    }
}
