//! One large transaction: it passes, and memory stays bounded.

use super::flags::Flags;
use super::meter::{now_ms, usage};
use super::plain::{Line, ratio};
use super::servers::{Servers, Setup};
use crate::say;
use stack::Result;
use stack::folder::Folder;
use stack::process::Signal;
use std::time::Duration;

pub const KNOWN: [&str; 1] = ["--megabytes"];
const MEGABYTES: u64 = 2_000;
/// About a kilobyte a row.
const ROWS_PER_MEGABYTE: u64 = 1_000;

const TABLE: &str =
    "CREATE TABLE bulk (id bigint PRIMARY KEY, body text NOT NULL); CREATE PUBLICATION bench FOR TABLE bulk;";

pub fn run(flags: &Flags) -> Result<()> {
    let megabytes = flags.number("--megabytes", MEGABYTES)?;
    let rows = megabytes * ROWS_PER_MEGABYTE;
    let program = crate::release::connector()?;
    let servers = Servers::start(Default::default())?;
    servers.psql(TABLE)?;
    servers.create_slot("large")?;
    say(&format!("writing {megabytes} MB in one transaction …"));
    let body = "md5(i::text) || repeat(md5((i * 7)::text), 29)";
    servers.psql(&format!("INSERT INTO bulk SELECT i, {body} FROM generate_series(1, {rows}) i"))?;
    let end_lsn = servers.psql("SELECT pg_current_wal_lsn()")?.trim().to_owned();
    let folder = Folder::new("bench-large")?;
    let started_ms = now_ms();
    let mut process = servers.connector(&program, &Setup::stream("large"), &folder)?;
    servers.wait_confirmed("large", &end_lsn, &mut process)?;
    let seconds = (now_ms() - started_ms) as f64 / 1e3;
    let used = usage(process.id())?;
    process.stop(Signal::Term, Duration::from_secs(15))?;
    let records = servers.records(&["large.public.bulk".to_owned()])?;
    Line::of("one transaction", rows, seconds, used.cpu_seconds, used.peak_mib).print();
    ratio("records in the topic, of the rows", records as f64 / rows as f64, 1.0, true);
    ratio("peak memory, MiB", used.peak_mib, 64.0, false);
    Ok(())
}
