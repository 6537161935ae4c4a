//! Files into a log: each row once, whatever interrupts; bad rows named; types as stated.

use super::*;
use crate::config::buffer::BufferConfig;
use crate::config::db::DbConfig;
use serde_json::json;
use std::path::PathBuf;

struct World {
    folder: PathBuf,
    log: Arc<Log>,
    registry: Arc<Registry>,
    importer: Importer,
    shutdown: Shutdown,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn new(name: &str) -> World {
        let folder = std::env::temp_dir().join(format!("tidegate-file-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let db = Db::open(&DbConfig { path: folder.join("agent.db"), ..DbConfig::default() }).expect("opens");
        let registry = Arc::new(Registry::open(&db).expect("opens"));
        let log = Arc::new(Log::open(&db, &BufferConfig::default()).expect("opens"));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (handle, shutdown) = (runtime.handle().clone(), Shutdown::default());
        let importer = Importer::new(&db, Arc::clone(&log), Arc::clone(&registry), handle, shutdown.clone());
        World { folder, log, registry, importer, shutdown, _runtime: runtime }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    fn take(&self, path: &Path, config: &FilesConfig) -> Result<Taken> {
        self.importer.take(path, config, &mut |_, _| ())
    }

    fn schema(&self, topic: &str) -> apache_avro::Schema {
        let version = self.registry.latest(&format!("{topic}-value")).expect("reads").expect("registered");
        apache_avro::Schema::parse_str(&version.text).expect("a schema")
    }

    /// The values of a topic as apache-avro reads them, as JSON.
    fn values(&self, topic: &str) -> Vec<Json> {
        let schema = self.schema(topic);
        let reader = rusqlite::Connection::open(self.folder.join("agent.db")).expect("opens");
        let mut found = Vec::new();
        for partition in self.log.partitions(topic) {
            for batch in self.log.read(&reader, partition, 0, usize::MAX / 2).expect("reads") {
                for (_, value) in crate::ingest::batch::tests::keys_and_values(&batch.records) {
                    let value = value.expect("a value");
                    #[expect(deprecated, reason = "the plainest way to read one value")]
                    let read = apache_avro::from_avro_datum(&schema, &mut &value[5..], None).expect("reads");
                    found.push(read.try_into().expect("JSON"));
                }
            }
        }
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn config(topic: &str) -> FilesConfig {
    FilesConfig { batch_bytes: 4_096, ..FilesConfig::for_topic(topic) }
}

#[test]
fn csv_becomes_typed_rows() {
    let world = World::new("csv");
    let text = "\u{feff}id,the name,price,at,zip,ok\n1,\"a, \"\"b\"\"\nc\",1.5,2026-01-02 03:04:05,01234,true\n2,,2,2026-01-02T03:04:06Z,99999,\n";
    let path = world.write("a.csv", text.as_bytes());
    let key = vec!["id".to_owned()];
    let taken =
        world.take(&path, &FilesConfig { key, time: Some("at".to_owned()), ..config("csv") }).expect("taken");
    assert_eq!(taken, Taken { stored: 2, rows: 2, bad: 0, done: true });
    assert_eq!(
        world.values("csv"),
        [
            json!({"id": 1, "the_name": "a, \"b\"\nc", "price": 1.5, "at": 1_767_323_045_000_000_i64, "zip": "01234", "ok": true}),
            json!({"id": 2, "the_name": null, "price": 2.0, "at": 1_767_323_046_000_000_i64, "zip": "99999", "ok": null}),
        ]
    );
    // Again, and with more rows at its end.
    assert_eq!(world.take(&path, &config("csv")).expect("known").stored, 0);
    world.write("a.csv", format!("{text}3,x,0,2026-01-02 00:00:00,1,false\n").as_bytes());
    assert_eq!(world.take(&path, &config("csv")).expect("taken").stored, 1);
    // Another file of the same name.
    world.write("a.csv", b"id,the name,price,at,zip,ok\n9,x,0,2026-01-02 00:00:00,1,false\n");
    assert_eq!(world.take(&path, &config("csv")).expect("taken").stored, 1);
    assert_eq!(world.values("csv").len(), 4);
}

/// It would wait for ever for room in a topic that is no more.
#[test]
fn a_topic_that_is_deleted_meanwhile_stops_the_file_and_the_rest_goes_into_a_new_one() {
    let world = World::new("deleted");
    let lines: String = (0..2_000).map(|n| format!("{{\"id\":{n}}}\n")).collect();
    let path = world.write("a.jsonl", lines.as_bytes());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut deleted = false;
    let taken = world.importer.take(&path, &config("gone"), &mut |_, _| {
        if !std::mem::replace(&mut deleted, true) {
            runtime.block_on(world.log.delete_topic("gone")).expect("stores").expect("nobody needs it");
        }
    });
    let error = taken.expect_err("it stops");
    assert!(error.retryable() && error.to_string().contains("was deleted"), "{error}");
    let taken = world.take(&path, &config("gone")).expect("taken");
    assert!(taken.done && taken.stored < 2_000, "{taken:?}");
    assert_eq!(world.values("gone").len() as u64, taken.stored);
}

#[test]
fn bad_rows_are_named() {
    let world = World::new("bad");
    let lines = "{\"id\":1}\n{\"id\":2}\n{\"id\":\"x\"}\n[1]\n{\"id\":3,\"more\":1}\n{\"id\":4}";
    let path = world.write("a.jsonl", lines.as_bytes());
    world
        .registry
        .register("bad-value", r#"{"type":"record","name":"V","fields":[{"name":"id","type":"long"}]}"#)
        .map_err(|_| ())
        .expect("registered");
    let error = world.take(&path, &config("bad")).expect_err("it stops");
    assert!(error.to_string().contains("line 3: id: expected an integer, found a text"), "{error}");
    assert_eq!((error.exit_code(), world.values("bad").len()), (3, 2), "what stands before is stored");
    // It stands where it stopped, and goes on from there.
    world.take(&path, &config("bad")).expect_err("it still stops");
    let skip = FilesConfig { bad_rows: BadRows::Skip, ..config("bad") };
    assert_eq!(world.take(&path, &skip).expect("taken"), Taken { stored: 1, rows: 6, bad: 3, done: true });
    assert_eq!(world.values("bad"), [json!({"id": 1}), json!({"id": 2}), json!({"id": 4})]);
}

/// Stopped after each transaction, as by a kill: a new importer goes on where the file stands.
#[test]
fn an_interrupted_file_is_taken_up_where_it_stopped() {
    let world = World::new("resume");
    const ROWS: u64 = 5_000;
    let csv: String = (0..ROWS).fold("n,text\n".to_owned(), |text, n| format!("{text}{n},\"line\n{n}\"\n"));
    let lines: String = (0..ROWS).map(|n| format!("{{\"n\":{n},\"text\":\"line {n}\"}}\n")).collect();
    let files = [
        ("csv", world.write("r.csv", csv.as_bytes())),
        ("jsonl", world.write("r.jsonl", lines.as_bytes())),
        ("parquet", world.write("r.parquet", &parquet_file(ROWS as i64, 700))),
    ];
    for (topic, path) in files {
        let mut stops = 0;
        loop {
            let shutdown = Shutdown::default();
            let importer = Importer {
                shutdown: shutdown.clone(),
                db: world.importer.db.clone(),
                log: Arc::clone(&world.log),
                schemas: Schemas(Arc::clone(&world.registry)),
                clock: Clock::System,
                runtime: world.importer.runtime.clone(),
                memory: Arc::new(Semaphore::new(1)),
            };
            let taken = importer.take(&path, &config(topic), &mut |_, _| shutdown.request()).expect(topic);
            if taken.done {
                break;
            }
            stops += 1;
        }
        assert!(stops > 10, "{topic} was interrupted: {stops}");
        let numbers: Vec<i64> = world.values(topic).iter().filter_map(|value| value["n"].as_i64()).collect();
        assert_eq!(numbers, (0..ROWS as i64).collect::<Vec<_>>(), "{topic}");
    }
    assert!(!world.shutdown.requested());
}

/// Columns n, text, and one of each type that is special.
fn parquet_file(rows: i64, group: i64) -> Vec<u8> {
    use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    let schema = "message m { REQUIRED INT64 n; OPTIONAL BINARY text (UTF8); REQUIRED INT32 day (DATE);
        REQUIRED INT64 at (TIMESTAMP(NANOS,true)); REQUIRED INT64 price (DECIMAL(10,2)); REQUIRED DOUBLE d; REQUIRED BINARY raw; }";
    let schema = Arc::new(::parquet::schema::parser::parse_message_type(schema).expect("a schema"));
    let properties =
        WriterProperties::builder().set_compression(::parquet::basic::Compression::SNAPPY).build();
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, Arc::new(properties)).expect("a writer");
    for start in (0..rows).step_by(usize::try_from(group).expect("positive")) {
        let numbers: Vec<i64> = (start..rows.min(start + group)).collect();
        let texts: Vec<ByteArray> = numbers
            .iter()
            .filter(|n| *n % 3 > 0)
            .map(|n| ByteArray::from(format!("t{n}").as_str()))
            .collect();
        let levels: Vec<i16> = numbers.iter().map(|n| i16::from(n % 3 > 0)).collect();
        let days: Vec<i32> = numbers.iter().map(|n| *n as i32).collect();
        let doubles: Vec<f64> = numbers.iter().map(|n| *n as f64 / 2.0).collect();
        let raw: Vec<ByteArray> = numbers.iter().map(|_| ByteArray::from(vec![0u8, 255])).collect();
        let mut rows = writer.next_row_group().expect("a group");
        let mut at = 0;
        while let Some(mut column) = rows.next_column().expect("a column") {
            match at {
                0 | 3 | 4 => column.typed::<Int64Type>().write_batch(&numbers, None, None).map(drop),
                1 => column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).map(drop),
                2 => column.typed::<Int32Type>().write_batch(&days, None, None).map(drop),
                5 => column.typed::<DoubleType>().write_batch(&doubles, None, None).map(drop),
                _ => column.typed::<ByteArrayType>().write_batch(&raw, None, None).map(drop),
            }
            .expect("written");
            column.close().expect("closed");
            at += 1;
        }
        rows.close().expect("closed");
    }
    writer.close().expect("closed");
    out
}

#[test]
fn parquet_states_its_types() {
    let world = World::new("parquet");
    let path = world.write("p.parquet", &parquet_file(200, 150));
    let key = vec!["n".to_owned()];
    assert_eq!(world.take(&path, &FilesConfig { key, ..config("p") }).expect("taken").stored, 200);
    let text = world.registry.latest("p-value").expect("reads").expect("registered").text;
    for part in [r#""timestamp-nanos""#, r#""date""#, r#""precision":10,"scale":2"#, r#""string""#] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let values = world.values("p");
    assert_eq!(
        (&values[1]["n"], &values[1]["text"], &values[3]["text"]),
        (&json!(1), &json!("t1"), &Json::Null)
    );
    assert_eq!((&values[199]["d"], &values[199]["day"]), (&json!(99.5), &json!(199)));
    world.write("p.parquet", b"PAR1 but no more");
    assert_eq!(world.take(&path, &config("p")).expect_err("damaged").kind(), Kind::Data);
}

#[test]
fn times_are_told_by_their_size() {
    for (value, want) in [
        (json!("2026-01-02T03:04:05Z"), Some(1_767_323_045_000)),
        (json!(1_767_323_045), Some(1_767_323_045_000)),
        (json!(1_767_323_045_000_i64), Some(1_767_323_045_000)),
        (json!(1_767_323_045_000_000_i64), Some(1_767_323_045_000)),
        (json!(1_767_323_045_000_000_000_i64), Some(1_767_323_045_000)),
        (json!("soon"), None),
        (json!(null), None),
    ] {
        assert_eq!(time_ms(Some(&value)), want, "{value}");
    }
}
