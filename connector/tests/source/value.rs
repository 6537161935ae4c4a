//! Values, with the server itself as oracle.

use super::reader::Source;
use super::server;
use connector::config::snapshot::SnapshotMode;
use connector::config::source::SourceConfig;
use connector::model::change::Event;
use connector::model::value::{UNIX_EPOCH, Value};
use connector::source::Source as _;
use std::time::Duration;

/// Every value as we decode it against what the server itself computes from it.
#[test]
fn values_are_what_the_server_says_they_are() {
    let Some(server) = server() else { return };
    const FILL: &str = "
        insert into v select g,
            (-210863520000000000 + random() * 9434234000000000000)::numeric::bigint,
            (random() * 5000000 - 2440588)::int,
            (random() * 86400000000)::bigint,
            float8recv_like, (random() * 2 - 1) * power(10, (random() * 60 - 30)::int),
            (random() * 1e18)::bigint - 500000000000000000,
            decode(md5(g::text), 'hex'),
            (array[E'tab\\t', E'new\\nline', E'back\\\\slash', '', E'\\\\N', '漢字🎉', E'\\r\\b\\f\\v', repeat('long', 3000)])[g % 8 + 1] || g,
            g % 2 = 0
        from generate_series($from, $to) g, lateral (select (random() * 1e12)::float8 as float8recv_like) f;
        insert into w select id, ts, ts at time zone 'UTC', d, t, f8, f8::float4, n, i, b, s, p,
            (extract(epoch from ts) * 1000000)::bigint, d - date '1970-01-01', (extract(epoch from t) * 1000000)::bigint,
            encode(float8send(f8), 'hex'), encode(float4send(f8::float4), 'hex'), n::text, i, encode(b, 'hex'),
            encode(convert_to(s, 'UTF8'), 'hex'), p::int
        from (select id, timestamp 'epoch' + (ts || ' microseconds')::interval as ts, date '1970-01-01' + d as d,
                     time '00:00' + (t || ' microseconds')::interval as t, f8, n, i, b, s, p from v where id between $from and $to) x;";
    let fill = |from: u32, to: u32| FILL.replace("$from", &from.to_string()).replace("$to", &to.to_string());
    let config = server.database(
        "vals",
        &format!(
            "create table v (id int primary key, ts int8, d int, t int8, f8 float8, n numeric, i int8, b bytea, s text, p bool);
             create table w (id int primary key, ts timestamp, tz timestamptz, d date, t time, f8 float8, f4 float4, n numeric, i int8, b bytea, s text, p bool,
                             ts_us int8, d_days int, t_us int8, f8_hex text, f4_hex text, n_text text, i_same int8, b_hex text, s_hex text, p_int int);
             {}",
            fill(1, 1500)
        ),
    );
    let config = SourceConfig { tables: vec!["public.w".into()], ..config };
    let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
    let mut rows = 0;
    let mut snapshot_rows = 0;
    while rows < 3000 {
        if source.postgres.streaming() && snapshot_rows == 0 {
            snapshot_rows = rows;
            server.sql("vals", &fill(1501, 3000));
        }
        let mut take = |event: Event<'_>| {
            if let Event::Change(change) = event {
                rows += 1;
                check_row(change.after.expect("a row"));
            }
            Ok(())
        };
        source.postgres.poll(Duration::from_millis(50), &mut take).expect("reads");
    }
    assert_eq!(snapshot_rows, 1500);
}

fn check_row(row: &[Value<'_>]) {
    use Value::{Bool, Date, Decimal, Float32, Float64, Hex, Int, Text, Time, Timestamp, TimestampTz};
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let [
        Int(id),
        Timestamp(ts),
        TimestampTz(tz),
        Date(d),
        Time(t),
        Float64(f8),
        Float32(f4),
        Decimal(n),
        Int(i),
        Hex(b),
        Text(s),
        Bool(p),
        Int(ts_us),
        Int(d_days),
        Int(t_us),
        Text(f8_hex),
        Text(f4_hex),
        Text(n_text),
        Int(i_same),
        Text(b_hex),
        Text(s_hex),
        Int(p_int),
    ] = row
    else {
        panic!("other types: {row:?}")
    };
    assert_eq!((ts - UNIX_EPOCH, tz - UNIX_EPOCH), (*ts_us, *ts_us), "row {id}");
    assert_eq!((i64::from(*d), t), (*d_days, t_us), "row {id}");
    assert_eq!(
        (hex(&f8.to_be_bytes()), hex(&f4.to_be_bytes())),
        ((*f8_hex).into(), (*f4_hex).into()),
        "row {id}"
    );
    assert_eq!((n, i, b), (n_text, i_same, &b_hex.as_bytes()), "row {id}");
    assert_eq!((hex(s.as_bytes()), i64::from(*p)), ((*s_hex).into(), *p_int), "row {id}");
}

#[test]
fn special_values_and_every_supported_type() {
    let Some(server) = server() else { return };
    const ROW: &str = "(true, -32768, 2147483647, -9223372036854775808, 4294967295, 'NaN', '-Infinity',
        'NaN', 1.50, 'ab', 'cd', 'ef', 'gh', 'ij', 'kl', '00000000-0000-0000-0000-0000000000aa',
        '{\"a\":  1}', '{\"a\":  1}', '<x/>', '\\x00ff', 'infinity', '24:00', '-infinity', '0044-03-15 12:00 BC', 7, 8)";
    let config = server.database(
        "types",
        "create extension citext; create domain posint as int check (value > 0); create domain deeper as posint not null;
         create table t (id serial primary key, c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_oid oid, c_float4 float4, c_float8 float8,
            c_num numeric, c_num7_3 numeric(7,3), c_text text, c_varchar varchar(5), c_char char(4), c_citext citext, c_name name, c_ichar \"char\",
            c_uuid uuid, c_json json, c_jsonb jsonb, c_xml xml, c_bytea bytea, c_date date, c_time time(3), c_ts timestamp, c_tstz timestamptz(0),
            c_dom posint, c_deep deeper, c_circle circle, c_gen int generated always as (c_int2 + 1) stored);",
    );
    let insert = format!("insert into t (c_bool, c_int2, c_int4, c_int8, c_oid, c_float4, c_float8, c_num, c_num7_3, c_text, c_varchar, c_char, c_citext, c_name, c_ichar,
         c_uuid, c_json, c_jsonb, c_xml, c_bytea, c_date, c_time, c_ts, c_tstz, c_dom, c_deep) values {ROW}").replace("\\\\", "\\");
    let insert = insert.replace("\\\"", "\"");
    server.sql("types", &insert);
    let mut source = Source::start(&config, SnapshotMode::Initial, None).expect("starts");
    source.read_snapshot();
    server.sql("types", &insert);
    source.read_lines(2);
    let cells = "c_bool=true c_int2=-32768 c_int4=2147483647 c_int8=-9223372036854775808 c_oid=4294967295 \
        c_float4=NaN c_float8=-inf c_num=NaN c_num7_3=1.500 c_text=ab c_varchar=cd c_char=ef   c_citext=gh c_name=ij c_ichar=k \
        c_uuid=0..36 c_json={\"a\":  1} c_jsonb={\"a\": 1} c_xml=<x/> c_bytea=00ff c_date=2147483647 \
        c_time=86400000000 c_ts=-9223372036854775808 c_tstz=-64464465600000000 c_dom=7 c_deep=8";
    // A generated column is read by the snapshot and not sent by the stream, as with Debezium.
    assert_eq!(
        source.seen.lines,
        [format!("r t last after(id=1 {cells} c_gen=-32767)"), format!("c t after(id=2 {cells})"),]
    );
    let column = |name: &str| {
        source.seen.tables[0].columns.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no {name}"))
    };
    assert!(column("c_dom").optional && !column("c_deep").optional && !column("id").optional);
}
