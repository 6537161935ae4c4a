//! A payments shop: its tables, a random load on them, and the answer that PostgreSQL gives.

use fastrand::Rng;
use stack::Postgres;
use tokio_postgres::NoTls;

pub const USERS: i64 = 50;
const WRITERS: u64 = 6;

const TABLES: &str = "
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE payments (
  id bigserial PRIMARY KEY, user_id bigint NOT NULL, amount numeric(12,2), status text NOT NULL,
  created_at timestamptz NOT NULL, note text);
INSERT INTO users SELECT g, 'user ' || g FROM generate_series(1, 50) g;
INSERT INTO payments (user_id, amount, status, created_at)
  SELECT 1 + g % 50, g, 'settled', now() - g * interval '3 seconds' FROM generate_series(1, 500) g;";

pub fn open(postgres: &Postgres) {
    postgres.psql("postgres", "CREATE DATABASE shop").expect("a database");
    postgres.psql("shop", TABLES).expect("the shop's tables");
}

/// Runs `changes` random inserts, updates and deletes in concurrent transactions of one to twenty.
pub fn load(postgres: &Postgres, changes: u64, seed: u64) {
    let url = postgres.url("shop");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let writers = (0..WRITERS).map(|writer| {
            let rng = Rng::with_seed(seed.wrapping_mul(31).wrapping_add(writer));
            tokio::spawn(write(url.clone(), changes.div_ceil(WRITERS), rng))
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("a writer ends");
        }
    });
}

async fn write(url: String, changes: u64, mut rng: Rng) {
    let (mut client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("the shop's database");
    tokio::spawn(connection);
    let mut left = changes;
    while left > 0 {
        let size = rng.u64(1..=20).min(left);
        let transaction = client.transaction().await.expect("begin");
        let mut done = Ok(());
        for _ in 0..size {
            done = transaction.batch_execute(&statement(&mut rng)).await;
            if done.is_err() {
                break;
            }
        }
        // Two writers may lock rows in different orders: PostgreSQL ends one of them, which tries others.
        match done {
            Ok(()) if rng.u8(0..20) > 0 => transaction.commit().await.expect("commit"),
            _ => transaction.rollback().await.expect("rollback"),
        }
        left -= size;
    }
}

fn statement(rng: &mut Rng) -> String {
    let user = rng.i64(1..=USERS);
    let victim = rng.i64(1..=4_000);
    let amount = match rng.u8(0..20) {
        0 => "NULL".to_owned(),
        _ => format!("{}.{:02}", rng.i32(-50..5_000), rng.u8(0..100)),
    };
    let status = ["settled", "settled", "settled", "pending", "failed"][rng.usize(0..5)];
    let created = format!("clock_timestamp() - {} * interval '1 millisecond'", rng.u32(0..1_200_000));
    match rng.u8(0..20) {
        0..=11 => format!(
            "INSERT INTO payments (user_id, amount, status, created_at) VALUES ({user}, {amount}, '{status}', {created})"
        ),
        12 | 13 => format!("UPDATE payments SET amount = {amount} WHERE id = {victim}"),
        14 => format!("UPDATE payments SET status = '{status}' WHERE id = {victim}"),
        15 => format!("UPDATE payments SET user_id = {user}, created_at = {created} WHERE id = {victim}"),
        16 => format!("UPDATE payments SET id = id + 1000000 WHERE id = {victim}"),
        17 => format!("UPDATE users SET name = name || '.' WHERE id = {user}"),
        _ => format!("DELETE FROM payments WHERE id = {victim}"),
    }
}

/// What a feature is worth, by user: `[count, sum, avg, min, max, last]`.
pub type Answer = Vec<[Option<f64>; 6]>;

/// PostgreSQL's answer at this moment, for users 1 to [`USERS`].
pub fn ask(postgres: &Postgres) -> Answer {
    let sql = "
        SELECT count(p.id), count(p.amount), coalesce(sum(p.amount)::float8::text, ''), coalesce(avg(p.amount)::float8::text, ''),
               coalesce(min(p.amount)::float8::text, ''), coalesce(max(p.amount)::float8::text, ''),
               coalesce((array_agg(p.amount ORDER BY p.created_at DESC, p.id DESC))[1]::float8::text, '')
        FROM users u LEFT JOIN payments p
          ON p.user_id = u.id AND p.status = 'settled' AND p.created_at > clock_timestamp() - interval '10 minutes'
        GROUP BY u.id ORDER BY u.id";
    let rows = postgres.psql("shop", sql).expect("the shop answers");
    rows.lines()
        .map(|line| {
            let mut cells = line.split('|').map(|cell| cell.parse::<f64>().ok());
            let mut next = || cells.next().flatten();
            let rows = next();
            // count(*) over the window's rows; the second column is not compared.
            let _ = next();
            [rows, next(), next(), next(), next(), next()]
        })
        .collect()
}
