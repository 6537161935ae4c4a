//! From a transaction's commit until its features can be read from Redis as Feast reads them: PostgreSQL →
//! connector → agent (its log and features durable) → Redis, at a steady rate.
//!
//! Every transaction is followed: a reader asks Redis for the field of Feast's layout that holds the newest
//! row's id of the entity, one transaction after the other, until it is there. PostgreSQL itself says when
//! each was committed. The reader looks again after half a millisecond, which is what the figures are late by.

use super::flags::Flags;
use super::meter::{now_us, usage};
use super::plain::ratio;
use super::servers::DATABASE;
use crate::say;
use stack::error::Doing;
use stack::folder::Folder;
use stack::process::{Process, Signal, command};
use stack::{Error, HOST, Postgres, Redis, Result, http};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub const KNOWN: [&str; 3] = ["--rate", "--seconds", "--users"];
const RATE: u64 = 1_000;
const SECONDS: u64 = 30;
const USERS: u64 = 10_000;
/// What comes while all sides warm up is not counted.
const WARM_UP: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_micros(500);
const LIMIT: Duration = Duration::from_secs(60);

const TABLE: &str = "CREATE TABLE payments (id bigserial PRIMARY KEY, user_id bigint NOT NULL, \
     amount double precision NOT NULL, created_at timestamptz NOT NULL DEFAULT clock_timestamp()); \
     CREATE PUBLICATION bench FOR TABLE payments; \
     SELECT pg_create_logical_replication_slot('bench', 'pgoutput');";

const VIEW: &str = r#"
[[feature_view]]
name = "user_spend"
topic = "bench.public.payments"
entity = ["user_id"]
time = "created_at"
feature = [
  { name = "count_10m", aggregate = "count", window = "10m" },
  { name = "sum_10m", aggregate = "sum", of = "amount", window = "10m" },
  { name = "avg_10m", aggregate = "avg", of = "amount", window = "10m" },
  { name = "max_10m", aggregate = "max", of = "amount", window = "10m" },
  { name = "last_10m", aggregate = "last", of = "id", window = "10m" },
]
"#;
const PROJECT: &str = "bench";

pub fn run(flags: &Flags) -> Result<()> {
    let (rate, seconds) = (flags.number("--rate", RATE)?, flags.number("--seconds", SECONDS)?);
    let users = flags.number("--users", USERS)?;
    crate::release::build()?;
    let stamps = ("track_commit_timestamp".to_owned(), "on".to_owned());
    let postgres =
        Postgres::start(stack::postgres::Options { settings: vec![stamps], ..Default::default() })?;
    postgres.psql(DATABASE, TABLE)?;
    let redis = Redis::start()?;
    let folder = Folder::new("bench-fresh")?;
    let (mut agent, door, registry) = agent(&redis, &folder)?;
    let mut connector = connector(&postgres, door, registry, &folder)?;

    let total = rate * (seconds + WARM_UP.as_secs());
    let mut looking = Looking::at(&redis, users)?;
    let reader = std::thread::spawn(move || looking.follow(total));
    let before = [&agent, &connector].map(|process| usage(process.id()));
    let start = Instant::now();
    write(&postgres, total, rate, users)?;
    let took = start.elapsed().as_secs_f64();
    let seen = reader.join().map_err(|_| Error::new("the reader broke off"))??;
    let mut cpu_us = Vec::new();
    for (process, before) in [&agent, &connector].into_iter().zip(before) {
        let used = usage(process.id())?.cpu_seconds - before?.cpu_seconds;
        cpu_us.push(format!("{:.0}", used * 1e6 / total as f64));
    }
    let found = summary(&seen, &committed(&postgres)?, rate)?;
    say(&format!(
        "{:.0} tx/s over {users} entities  p50 {:>6.1} ms  p90 {:>6.1} ms  p99 {:>6.1} ms  p99.9 {:>6.1} ms  \
         of {} transactions; CPU of each: agent {} µs, connector {} µs",
        total as f64 / took,
        found.at(500),
        found.at(900),
        found.at(990),
        found.at(999),
        found.0.len(),
        cpu_us.first().map_or("", String::as_str),
        cpu_us.last().map_or("", String::as_str),
    ));
    ratio("commit → readable in Redis, p99, ms", found.at(990), 100.0, false);
    connector.stop(Signal::Term, Duration::from_secs(15))?;
    agent.stop(Signal::Term, Duration::from_secs(15)).map(drop)
}

/// The agent, ready; with the ports of its door and its registry.
fn agent(redis: &Redis, folder: &Folder) -> Result<(Process, u16, u16)> {
    let mut ports = [0; 4];
    for port in &mut ports {
        *port = stack::port::free()?;
    }
    let [door, registry, features, admin] = ports;
    let text = format!(
        "[db]\npath = \"{}/agent.db\"\n[door]\nlisten = \"{HOST}:{door}\"\n[registry]\nlisten = \"{HOST}:{registry}\"\n\
         [features]\nlisten = \"{HOST}:{features}\"\n[admin]\nlisten = \"{HOST}:{admin}\"\n\
         [sync.central]\nkind = \"redis\"\nproject = \"{PROJECT}\"\nurl = \"{}\"\n{VIEW}",
        folder.path().display(),
        redis.url(),
    );
    let config = folder.write("agent.toml", &text)?;
    let mut run = command(crate::target().join("release/tidegate-agent"), Signal::Kill, None);
    run.arg("run").arg("-c").arg(config);
    let mut process = Process::spawn("tidegate-agent", run, &folder.path().join("agent.log"))?;
    process.wait_ready(LIMIT, || http::answers(&format!("http://{HOST}:{admin}/readyz")))?;
    Ok((process, door, registry))
}

/// The connector, ready.
fn connector(postgres: &Postgres, door: u16, registry: u16, folder: &Folder) -> Result<Process> {
    let admin = stack::port::free()?;
    let text = format!(
        "[source]\nport = {port}\ndatabase = \"{DATABASE}\"\nuser = \"{user}\"\npassword = \"{password}\"\n\
         slot = \"bench\"\npublication = \"bench\"\npublication_autocreate = \"disabled\"\n\
         [snapshot]\nmode = \"no_data\"\n[event]\ntopic_prefix = \"bench\"\n\
         [avro.registry]\nurl = [\"http://{HOST}:{registry}\"]\n[sink.kafka]\nbrokers = \"{HOST}:{door}\"\n\
         [offset]\nkind = \"file\"\npath = \"{folder}/offsets.json\"\n[admin]\nlisten = \"{HOST}:{admin}\"\n",
        port = postgres.port(),
        user = stack::postgres::USER,
        password = stack::postgres::PASSWORD,
        folder = folder.path().display(),
    );
    let config = folder.write("connector.toml", &text)?;
    let mut run = command(crate::target().join("release/tidegate-connector"), Signal::Kill, None);
    run.arg("run").arg("-c").arg(config);
    let mut process = Process::spawn("tidegate-connector", run, &folder.path().join("connector.log"))?;
    process.wait_ready(LIMIT, || http::answers(&format!("http://{HOST}:{admin}/readyz")))?;
    Ok(process)
}

/// One session that commits at an even pace; row n is of user `user(n)`.
fn write(postgres: &Postgres, total: u64, rate: u64, users: u64) -> Result<()> {
    postgres
        .psql(
            DATABASE,
            &format!(
                "DO $$ DECLARE began timestamptz := clock_timestamp(); ahead double precision; BEGIN
                   FOR i IN 1 .. {total} LOOP
                     INSERT INTO payments (user_id, amount) VALUES (1 + i::bigint * 7919 % {users}, i);
                     COMMIT;
                     ahead := i / {rate}::double precision - extract(epoch FROM clock_timestamp() - began);
                     IF ahead > 0 THEN PERFORM pg_sleep(ahead); END IF;
                   END LOOP; END $$"
            ),
        )
        .map(drop)
}

fn user(row: u64, users: u64) -> u64 {
    1 + row * 7_919 % users
}

/// When each row was committed, by PostgreSQL's own account, in µs since 1970.
fn committed(postgres: &Postgres) -> Result<HashMap<u64, i64>> {
    let sql =
        "SELECT id, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM payments";
    let text = postgres.psql(DATABASE, sql)?;
    let one = |line: &str| {
        let (id, time) = line.split_once('|')?;
        Some((id.trim().parse().ok()?, time.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(one).collect())
}

/// Milliseconds, sorted.
struct Latencies(Vec<f64>);

impl Latencies {
    /// The value below which so many of a thousand lie.
    fn at(&self, thousandths: usize) -> f64 {
        self.0.get(self.0.len() * thousandths / 1_000).copied().unwrap_or(f64::NAN)
    }
}

fn summary(seen: &[i64], committed: &HashMap<u64, i64>, rate: u64) -> Result<Latencies> {
    let warm = usize::try_from(rate * WARM_UP.as_secs()).unwrap_or(usize::MAX);
    let mut latencies = Vec::with_capacity(seen.len());
    for (row, seen_us) in (1..).zip(seen).skip(warm) {
        let committed_us = committed.get(&row);
        let committed_us =
            committed_us.ok_or_else(|| Error::new(format!("PostgreSQL has no time for row {row}")))?;
        latencies.push((seen_us - committed_us) as f64 / 1e3);
    }
    latencies.sort_by(f64::total_cmp);
    Ok(Latencies(latencies))
}

/// A connection to Redis that reads one feature of one entity after another.
struct Looking {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    users: u64,
}

impl Looking {
    fn at(redis: &Redis, users: u64) -> Result<Looking> {
        let what = || "connect to Redis".to_owned();
        let stream = TcpStream::connect((HOST, redis.port())).doing(what)?;
        stream.set_nodelay(true).doing(what)?;
        stream.set_read_timeout(Some(LIMIT)).doing(what)?;
        Ok(Looking { reader: BufReader::new(stream.try_clone().doing(what)?), writer: stream, users })
    }

    /// When each row, or a newer one of its user, was first read; µs since 1970.
    fn follow(&mut self, rows: u64) -> Result<Vec<i64>> {
        let mut seen = Vec::new();
        let mut progress = Instant::now();
        for row in 1..=rows {
            let request = request(user(row, self.users));
            while self.newest(&request)?.is_none_or(|newest| newest < row) {
                if progress.elapsed() > LIMIT {
                    return Err(Error::new(format!("row {row} of {rows} does not come into Redis")));
                }
                std::thread::sleep(LOOK);
            }
            seen.push(now_us());
            progress = Instant::now();
        }
        Ok(seen)
    }

    /// The newest row's id of a user.
    fn newest(&mut self, request: &[u8]) -> Result<Option<u64>> {
        let what = || "read from Redis".to_owned();
        self.writer.write_all(request).doing(what)?;
        let mut line = String::new();
        self.reader.read_line(&mut line).doing(what)?;
        let length = line.strip_prefix('$').and_then(|text| text.trim().parse::<i64>().ok());
        let length = length.ok_or_else(|| Error::new(format!("Redis answers {line:?}")))?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let mut value = vec![0; length + 2];
        self.reader.read_exact(&mut value).doing(what)?;
        Ok(int64(&value))
    }
}

/// `HGET` of the feature, as Feast asks: the hash is named by the entity key (version 3) and the project, its
/// fields by the murmur3 of `view:feature`.
fn request(user: u64) -> Vec<u8> {
    /// Of `user_spend:last_10m`.
    const FIELD: [u8; 4] = [0xaa, 0xf8, 0x70, 0x14];
    let mut key = Vec::with_capacity(48);
    for part in [&1_u32.to_le_bytes()[..], &2_u32.to_le_bytes(), &7_u32.to_le_bytes(), b"user_id"] {
        key.extend_from_slice(part);
    }
    key.extend_from_slice(&4_u32.to_le_bytes());
    key.extend_from_slice(&8_u32.to_le_bytes());
    key.extend_from_slice(&user.to_le_bytes());
    key.extend_from_slice(PROJECT.as_bytes());
    let mut out = format!("*3\r\n$4\r\nHGET\r\n${}\r\n", key.len()).into_bytes();
    out.extend_from_slice(&key);
    out.extend_from_slice(b"\r\n$4\r\n");
    out.extend_from_slice(&FIELD);
    out.extend_from_slice(b"\r\n");
    out
}

/// `int64_val` of a serialized `feast.types.Value`.
fn int64(value: &[u8]) -> Option<u64> {
    let (&tag, number) = value.split_first()?;
    let mut found = 0;
    for (at, byte) in number.iter().enumerate().take(10) {
        found |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return (tag == 4 << 3).then_some(found);
        }
    }
    None
}
