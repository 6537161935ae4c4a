//! Debezium's properties: what is mapped, refused, noted; and that none is forgotten.

use super::*;

const CONNECTOR: &str = r#"{
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "plugin.name": "pgoutput",
    "database.hostname": "db.example", "database.port": 5433,
    "database.user": "u", "database.password": "p\"'${x}", "database.dbname": "shop",
    "topic.prefix": "shop", "name": "orders"
}"#;

const WORKER: &str = "
    bootstrap.servers=kafka:9092
    group.id=g
    config.storage.topic=c
    offset.storage.topic=g-offsets
    offset.storage.partitions=1
    offset.storage.replication.factor=1
    offset.flush.interval.ms=2000
    key.converter=io.confluent.connect.avro.AvroConverter
    key.converter.schema.registry.url=http://a:8081,http://b:8081
    key.converter.http.read.timeout.ms=7000
    value.converter=io.confluent.connect.avro.AvroConverter
    value.converter.schema.registry.url=http://a:8081,http://b:8081
    value.converter.http.read.timeout.ms=7000
";

/// Takes over, with a few properties changed or added in the connector (first) or the worker.
fn take_over(
    connector: &[(&str, &str)],
    worker: &[(&str, &str)],
) -> Result<(crate::config::Config, Vec<Note>)> {
    let mut ours = connector_properties(CONNECTOR)?;
    let mut theirs = properties::parse(WORKER);
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    ours.extend(owned(connector));
    theirs.extend(owned(worker));
    let imported = import(&ours, &theirs)?;
    if let Some(refusal) = imported.refusal() {
        return Err(refusal);
    }
    Ok((crate::config::parse(&imported.toml, &[])?, imported.notes))
}

#[test]
fn a_plain_pair_of_files() {
    let (config, notes) = take_over(&[], &[]).expect("valid");
    assert_eq!((config.source.host.as_str(), config.source.port), ("db.example", 5433));
    assert_eq!(config.source.password.expose(), "p\"'${x}");
    assert_eq!(config.source.slot, "debezium");
    assert_eq!(config.event.topic_prefix, "shop");
    let registry = config.avro.registry.expect("a registry");
    assert_eq!(registry.url, ["http://a:8081", "http://b:8081"]);
    assert_eq!(registry.timeout_ms, 7_000);
    assert_eq!(config.sink.kafka.brokers, "kafka:9092");
    assert_eq!(config.offset.connector, "orders");
    assert_eq!((config.offset.topic.as_str(), config.offset.topic_partitions), ("g-offsets", 1));
    assert_eq!((config.offset.topic_replicas, config.offset.interval_ms), (1, 2_000));
    assert_eq!(config.offset.kind, crate::config::offset::OffsetKind::Kafka);
    let without_effect = notes.iter().filter(|note| !matches!(note.fate, Fate::Mapped(_)));
    let noted: Vec<&str> = without_effect.map(|note| note.property.as_str()).collect();
    assert_eq!(noted, ["config.storage.topic", "group.id", "plugin.name"]);
    assert!(!notes.iter().any(|note| matches!(note.fate, Fate::NotFollowed(_))));
}

#[test]
fn both_forms_of_the_json() {
    let put = connector_properties(CONNECTOR).expect("flat");
    let mut inner: serde_json::Value = serde_json::from_str(CONNECTOR).expect("JSON");
    inner.as_object_mut().expect("an object").remove("name");
    let posted = serde_json::json!({ "name": "orders", "config": inner }).to_string();
    assert_eq!(connector_properties(&posted).expect("posted"), put);
    assert!(connector_properties("[]").is_err());
}

#[test]
fn settings_arrive() {
    for (name, value, look) in [
        ("tombstones.on.delete", "false", "tombstones: false"),
        ("extended.headers.enabled", "FALSE", "headers: false"),
        ("publication.autocreate.mode", "filtered", "publication_autocreate: Filtered"),
        ("database.sslmode", "verify-full", "tls_mode: VerifyFull"),
        ("table.include.list", r"public\.a{1\,2},s.b", r#"tables: ["public\\.a{1,2}", "s.b"]"#),
        ("schema.include.list", "a,b", r#"schemas: ["a", "b"]"#),
        ("schema.exclude.list", "a", r#"exclude_schemas: ["a"]"#),
        ("column.exclude.list", "s.t.c", r#"exclude_columns: ["s.t.c"]"#),
        ("message.key.columns", "s.a:x,y;s.b:z", r#"keys: ["s.a:x,y", "s.b:z"]"#),
        ("skipped.operations", "none", "skip: []"),
        ("skipped.operations", "c,t", "skip: [Create, Truncate]"),
        ("decimal.handling.mode", "double", "decimal: Double"),
        ("time.precision.mode", "adaptive_time_microseconds", "time: AdaptiveTimeMicroseconds"),
        ("binary.handling.mode", "base64-url-safe", "binary: Base64UrlSafe"),
        ("schema.name.adjustment.mode", "avro_unicode", "schema_names: AvroUnicode"),
        ("provide.transaction.metadata", "true", "transactions: true"),
        ("heartbeat.interval.ms", "1000", "heartbeat_interval_ms: 1000"),
        ("column.mask.with.12.chars", "s.t.c", r#"mask: [Mask { columns: ["s.t.c"], length: 12 }]"#),
        (
            "column.truncate.to.3.chars",
            "s.t.c",
            r#"truncate: [Truncation { columns: ["s.t.c"], length: 3 }]"#,
        ),
        ("column.mask.hash.SHA-256.with.salt.a.b", "s.t.c", r#"algorithm: "SHA-256", salt: ***, version: 1"#),
        ("column.mask.hash.v2.MD5.with.salt.x", "s.t.c", r#"algorithm: "MD5", salt: ***, version: 2"#),
        (
            "topic.naming.strategy",
            "io.debezium.schema.SchemaUnicodeTopicNamingStrategy",
            "topic_naming: SchemaUnicode",
        ),
        ("status.update.interval.ms", "5000", "status_interval_ms: 5000"),
        ("producer.override.linger.ms", "50", "linger_ms: Some(50)"),
        ("producer.override.compression.type", "zstd", "compression: Zstd"),
        ("offsets.storage.topic", "own", "topic: \"own\""),
    ] {
        arrives(name, value, look);
    }
}

#[test]
fn settings_of_slot_snapshot_and_signals_arrive() {
    for (name, value, look) in [
        ("snapshot.mode", "no_data", "mode: NoData"),
        ("snapshot.mode", "never", "mode: NoData"),
        ("snapshot.mode", "always", "mode: Always"),
        ("snapshot.mode.configuration.based.snapshot.data", "true", "ConfigurationBased { data: true"),
        ("snapshot.include.collection.list", "a.b,c.*", "tables: [\"a.b\", \"c.*\"]"),
        ("snapshot.max.threads", "4", "max_threads: 4"),
        ("signal.data.collection", "a.b", "table: Some(\"a.b\")"),
        ("signal.enabled.channels", "source, kafka,jmx", "channels: [Source, Kafka]"),
        ("read.only", "true", "read_only: true"),
        ("notification.enabled.channels", "log,jmx", "notifications: [Log]"),
        ("incremental.snapshot.chunk.size", "3", "chunk_rows: 3"),
        ("incremental.snapshot.watermarking.strategy", "insert_delete", "watermarking: InsertDelete"),
        ("snapshot.tables.order.by.row.count", "descending", "order: Descending"),
        ("slot.drop.on.stop", "true", "drop_slot_on_stop: true"),
        ("slot.failover", "true", "slot_failover: true"),
        ("slot.max.retries", "2", "slot_wait_ms: 20000"),
        ("slot.retry.delay.ms", "500", "slot_wait_ms: 3000"),
        ("slot.stream.params", "origin=none", "stream_options: [\"origin=none\"]"),
        ("lsn.flush.mode", "connector_and_driver", "lsn_flush: Connector"),
        ("lsn.flush.mode", "manual", "lsn_flush: Manual"),
        ("flush.lsn.source", "false", "lsn_flush: Manual"),
        ("offset.mismatch.strategy", "no_validation", "offset_mismatch: Refuse"),
        ("offset.mismatch.strategy", "trust_greater_lsn", "offset_mismatch: TrustGreaterLsn"),
        ("internal.slot.seek.to.known.offset.on.start", "true", "offset_mismatch: TrustOffset"),
        (
            "replica.identity.autoset.values",
            "s.a:FULL,s.b:INDEX i",
            r#"replica_identities: ["s.a:FULL", "s.b:INDEX i"]"#,
        ),
    ] {
        arrives(name, value, look);
    }
}

fn arrives(name: &str, value: &str, look: &str) {
    let (config, _) = take_over(&[(name, value)], &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
    let printed = format!("{config:?}");
    assert!(printed.contains(look), "{name} = {value}: {look} is not in {printed}");
}

#[test]
fn what_changes_records_is_refused_by_name() {
    for (name, value) in [
        ("connector.class", "io.debezium.connector.mysql.MySqlConnector"),
        ("decimal.handling.mode", "exact"),
        ("transforms", "unwrap"),
        ("column.mask.with.x.chars", "public.t.c"),
        ("column.mask.hash.SHA-256", "public.t.c"),
        ("skipped.operations", "x"),
        ("converters", "mine"),
        ("snapshot.mode", "custom"),
        ("topic.naming.strategy", "com.example.MyTopicNamingStrategy"),
        ("database.port", "many"),
        ("tombstones.on.delete", "perhaps"),
        ("key.converter", "io.confluent.connect.protobuf.ProtobufConverter"),
    ] {
        let error = take_over(&[(name, value)], &[]).expect_err(name);
        assert_eq!(error.kind(), Kind::Config, "{name}");
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    let converter = take_over(&[], &[("value.converter.use.latest.version", "true")]).expect_err("refused");
    assert!(converter.to_string().contains("value.converter.use.latest.version"), "{converter}");
    let registries =
        take_over(&[], &[("value.converter.schema.registry.url", "http://c:1")]).expect_err("two");
    assert!(registries.to_string().contains("different registries"), "{registries}");
}

#[test]
fn converters_without_a_registry() {
    let (config, _) = take_over(
        &[
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
            ("value.converter.decimal.format", "NUMERIC"),
            ("value.converter.replace.null.with.default", "false"),
        ],
        &[],
    )
    .expect("valid");
    assert!(config.avro.registry.is_none() && !config.encode.uses_avro());
    let printed = format!("{:?}", config.encode);
    assert!(printed.contains("key: SideConfig { format: Text"), "{printed}");
    let value = "value: SideConfig { format: Json, schemas: false, decimals: Numeric, keep_nulls: true }";
    assert!(printed.contains(value), "{printed}");
}

/// Spelled-out defaults of properties that are refused otherwise.
#[test]
fn defaults_are_no_offence() {
    for (name, value) in [
        ("decimal.handling.mode", "precise"),
        ("time.precision.mode", "adaptive"),
        ("skipped.operations", "t"),
        ("heartbeat.interval.ms", "0"),
        ("transforms", ""),
        ("plugin.name", "pgoutput"),
    ] {
        let (_, notes) = take_over(&[(name, value)], &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let warned = |note: &&Note| note.property == name && matches!(note.fate, Fate::NotFollowed(_));
        assert_eq!(notes.iter().find(warned), None);
    }
}

#[test]
fn what_is_not_followed_is_noted() {
    for (name, value, warn) in [
        ("plugin.name", "decoderbufs", true),
        ("producer.override.max.block.ms", "1", true),
        ("max.batch.size", "10", false),
        ("no.such.property", "x", false),
        ("errors.max.retries", "3", false),
    ] {
        let (_, notes) = take_over(&[(name, value)], &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let note = notes.iter().find(|note| note.property == name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(matches!(note.fate, Fate::NotFollowed(_)), warn, "{name}: {note:?}");
    }
}

#[test]
fn without_a_worker_the_document_says_what_is_missing() {
    let converter = "io.confluent.connect.avro.AvroConverter";
    let mut connector: Properties = [("topic.prefix", "shop"), ("database.dbname", "d")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let alone = import(&connector, &Properties::new()).expect_err("no converter");
    assert!(alone.hint().contains("--worker"), "{alone}");
    for side in ["key", "value"] {
        connector.insert(format!("{side}.converter"), converter.to_owned());
        connector.insert(format!("{side}.converter.schema.registry.url"), "http://r:8081".to_owned());
    }
    let imported = import(&connector, &Properties::new()).expect("valid");
    assert!(!imported.complete);
    assert!(imported.document("c.json").contains("sink.kafka.brokers"));
}

#[test]
fn groups_of_topics_become_rules() {
    let groups = [
        ("topic.creation.groups", "logs"),
        ("topic.creation.logs.include", "shop\\.log.*,shop\\.a"),
        ("topic.creation.logs.partitions", "2"),
        ("topic.creation.logs.cleanup.policy", "compact"),
        ("topic.creation.default.replication.factor", "3"),
        ("topic.creation.default.partitions", "-1"),
    ];
    let (config, _) = take_over(&groups, &[]).expect("valid");
    let [logs, default] = config.sink.topic.as_slice() else { panic!("{:?}", config.sink.topic) };
    assert_eq!((logs.include.len(), logs.partitions, logs.replicas), (2, 2, -1));
    assert_eq!(logs.settings["cleanup.policy"], "compact");
    assert_eq!((default.include.len(), default.partitions, default.replicas), (0, -1, 3));
    let (config, _) = take_over(&groups, &[("topic.creation.enable", "false")]).expect("valid");
    assert!(config.sink.topic.is_empty());
    let error = take_over(&[groups[0], groups[4]], &[]).expect_err("no include");
    assert!(error.to_string().contains("topic.creation.logs.include"), "{error}");
}

#[test]
fn logins_arrive() {
    let worker = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        (
            "sasl.jaas.config",
            r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="a=b";"#,
        ),
        ("key.converter.basic.auth.credentials.source", "USER_INFO"),
        ("key.converter.basic.auth.user.info", "reg:pa:ss"),
    ];
    let (config, _) = take_over(&[], &worker).expect("valid");
    let kafka = config.sink.kafka.client_properties();
    let got =
        ["security.protocol", "sasl.mechanism", "sasl.username", "sasl.password"].map(|n| kafka[n].as_str());
    assert_eq!(got, ["sasl_ssl", "SCRAM-SHA-512", "me", "a=b"]);
    let registry = config.avro.registry.expect("a registry");
    assert_eq!(registry.username.as_deref(), Some("reg"));
    assert_eq!(registry.password.as_ref().map(shared::secret::Secret::expose), Some("pa:ss"));
}

#[test]
fn settings_of_ours_exist() {
    for (name, rule) in table::CONNECTOR.iter().chain(table::WORKER).chain(table::CONVERTER) {
        let path = match rule {
            Rule::Set(path, _) | Rule::Word(path, _) => path,
            _ => continue,
        };
        // A table in a setting's place is an error of its type; an unknown setting is another.
        let set = format!("{path}={{}}");
        let least = concat!(
            "[source]\ndatabase=\"d\"\nuser=\"u\"\n[event]\ntopic_prefix=\"p\"\n",
            "[avro.registry]\nurl=[\"http://a\"]\n[sink.kafka]\nbrokers=\"b\"\n"
        );
        let error = crate::config::parse(least, &[set]).expect_err("a table is no value");
        let said = error.to_string().replace(path, "");
        assert!(!said.contains("unknown"), "{name}: {error}");
    }
}

#[test]
fn transforms_and_predicates_arrive() {
    let (config, _) = take_over(
        &[
            ("transforms", "unwrap, route"),
            ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
            ("transforms.unwrap.add.fields", "op,table"),
            ("transforms.unwrap.predicate", "orders"),
            ("transforms.unwrap.negate", "true"),
            ("transforms.route.type", "org.apache.kafka.connect.transforms.RegexRouter"),
            ("transforms.route.regex", "a"),
            ("predicates", "orders"),
            ("predicates.orders.type", "org.apache.kafka.connect.transforms.predicates.TopicNameMatches"),
            ("predicates.orders.pattern", "shop.*"),
        ],
        &[(
            "value.converter.value.subject.name.strategy",
            "io.confluent.kafka.serializers.subject.RecordNameStrategy",
        )],
    )
    .expect("valid");
    let [unwrap, route] = config.transform.as_slice() else { panic!("two transforms") };
    assert_eq!(
        (unwrap.name.as_str(), unwrap.predicate.as_deref(), unwrap.negate),
        ("unwrap", Some("orders"), true)
    );
    assert_eq!(unwrap.properties, [("add.fields".to_owned(), "op,table".to_owned())].into());
    assert!(route.class.ends_with("RegexRouter") && route.properties.contains_key("regex"));
    assert_eq!(config.predicate["orders"].properties["pattern"], "shop.*");
    assert_eq!(config.avro.value_subject, crate::config::avro::SubjectNaming::Record);
}

/// The full list: each is known, and none is refused for saying what Debezium does by default.
#[test]
fn every_property_has_a_fate() {
    let known = properties::parse(include_str!("known.properties"));
    assert!(known.len() > 250, "{}", known.len());
    for (name, default) in &known {
        let (table, short) =
            match name.strip_prefix("key.converter.").or_else(|| name.strip_prefix("value.converter.")) {
                Some(rest) if !rest.ends_with("plugin.version") => (table::CONVERTER, rest),
                _ => (table::CONNECTOR, name.as_str()),
            };
        assert!(table::rule(table, short).is_some(), "{name} is in no table");
        if default.is_empty() || name.starts_with("key.converter") || name.starts_with("value.converter") {
            continue;
        }
        let (_, notes) =
            take_over(&[(name, default)], &[]).unwrap_or_else(|e| panic!("{name} = {default}: {e}"));
        assert!(notes.iter().any(|note| note.property == *name), "{name} has no note");
    }
}

#[test]
fn the_document_says_what_became_of_each() {
    let mut connector = connector_properties(CONNECTOR).expect("valid");
    for (name, value) in [
        ("post.processors", "reselect"),
        ("max.batch.size", "1"),
        ("plugin.name", "decoderbufs"),
        ("skipped.operations", "t,d"),
        ("database.initial.statements", "SET a = 'x;;y'; SET b = 1;"),
    ] {
        connector.insert(name.to_owned(), value.to_owned());
    }
    let imported = import(&connector, &properties::parse(WORKER)).expect("readable");
    let refusal = imported.refusal().expect("post processors are refused").to_string();
    assert!(refusal.contains("post.processors"), "{refusal}");
    let document = imported.document("shop.json");
    for line in [
        "#   post.processors: cannot",
        "#   plugin.name: ",
        "#   max.batch.size: ",
        "topic_prefix = \"shop\"",
    ] {
        assert!(document.contains(line), "{line} is not in\n{document}");
    }
    let config = crate::config::parse(&document, &[]).expect("comments and TOML");
    assert_eq!(config.source.initial_statements, ["SET a = 'x;y'", "SET b = 1"]);
    let published: Vec<&str> = config.source.publish.iter().map(|operation| operation.word()).collect();
    assert_eq!(published, ["insert", "update"]);
}

#[test]
fn exactly_once_is_the_worker_s_to_allow_and_the_connector_s_to_insist_on() {
    use crate::config::sink::Delivery::{AtLeastOnce, ExactlyOnce};
    let (support, allowed) = ("exactly.once.support", "exactly.once.source.support");
    for (connector, worker, want) in [
        (&[][..], &[][..], AtLeastOnce),
        (&[(support, "requested")], &[(allowed, "preparing")], AtLeastOnce),
        (&[(support, "requested")], &[(allowed, "enabled")], ExactlyOnce),
        (&[(support, "REQUIRED"), ("transaction.boundary.interval.ms", "250")], &[], ExactlyOnce),
    ] {
        let (config, _) = take_over(connector, worker).expect("valid");
        assert_eq!(config.sink.delivery, want, "{connector:?} {worker:?}");
        assert_eq!(config.transactional_id().is_some(), want == ExactlyOnce);
    }
}
