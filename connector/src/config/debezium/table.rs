//! What becomes of each Debezium property: the one table of names.
//!
//! A name may end in `*`. The first row that fits wins. What stands in no row is unknown to
//! Debezium 3.6 too, which would ignore it; so do we, with a line in the log.

/// What becomes of a property.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Becomes this setting of ours, in this form.
    Set(&'static str, Form),
    /// Becomes this setting; other words than these are refused.
    Word(&'static str, &'static [&'static str]),
    /// These values are what we do anyway; another is refused.
    Only(&'static [&'static str], &'static str),
    /// These values are what we do anyway; another is not followed, and the log warns.
    Unless(&'static [&'static str], &'static str),
    /// Has no effect on records; the reason.
    Ignored(&'static str),
    /// Stops the start; the reason.
    Refused(&'static str),
    /// Becomes this setting together with others.
    Together(&'static str),
}

/// How a value is written in TOML.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    Text,
    Number,
    Flag,
    /// A flag whose meaning is the other way round.
    Negated,
    /// Names separated by commas: a list.
    List,
    /// Items separated by semicolons: a list.
    Semicolons,
}

use Form::{Flag, List, Negated, Number, Semicolons, Text};
use Rule::{Ignored, Only, Refused, Set, Together, Unless, Word};

const RUNTIME: &str = "it tunes Debezium's own queues and threads";
const CHANGES_RECORDS: &str = "it changes records in a way that is not supported yet";
const NO_JDBC: &str = "there is no JDBC driver here";
const ACCESS_SHARE: &str =
    "a table is held against changes of its shape while it is read, and against nothing else";
const OTHER: &str = "it belongs to Debezium's connectors for MySQL and MariaDB";
const CONNECT: &str = "it is an affair of Kafka Connect";

/// Properties of the connector.
pub const CONNECTOR: &[(&str, Rule)] = &[
    ("name", Set("offset.connector", Text)),
    ("connector.class", Together("source")),
    ("key.converter*", Together("avro")),
    ("value.converter*", Together("avro")),
    ("tasks.max", Ignored("one task is all that Debezium uses, too")),
    ("connector.plugin.version", Ignored(CONNECT)),
    ("header.converter.*", Ignored(CONNECT)),
    ("tasks.max.enforce", Ignored("one task is all that Debezium uses, too")),
    ("memory.management.*", Ignored(RUNTIME)),
    ("config.action.reload", Ignored(CONNECT)),
    // database
    ("database.hostname", Set("source.host", Text)),
    ("database.port", Set("source.port", Number)),
    ("database.user", Set("source.user", Text)),
    ("database.password", Set("source.password", Text)),
    ("database.dbname", Set("source.database", Text)),
    (
        "database.sslmode",
        Word("source.tls_mode", &["disable", "prefer", "require", "verify-ca", "verify-full"]),
    ),
    ("database.sslcert", Set("source.tls.cert_file", Text)),
    ("database.sslkey", Set("source.tls.key_file", Text)),
    ("database.sslrootcert", Set("source.tls.ca_file", Text)),
    ("database.sslpassword", Refused("the key file must be in PEM form and not encrypted")),
    ("database.sslfactory", Refused(NO_JDBC)),
    ("database.connection.factory.class", Refused(NO_JDBC)),
    ("database.initial.statements", Together("source.initial_statements")),
    ("database.tcpKeepAlive", Ignored("TCP keep-alive is always on")),
    ("database.query.timeout.ms", Ignored(NO_JDBC)),
    ("connection.validation.timeout.ms", Ignored(NO_JDBC)),
    ("driver.*", Ignored(NO_JDBC)),
    // slot and publication
    ("plugin.name", Unless(&["pgoutput"], "the server's own pgoutput is used; records are the same")),
    ("slot.name", Set("source.slot", Text)),
    ("slot.drop.on.stop", Set("source.drop_slot_on_stop", Flag)),
    ("slot.failover", Set("source.slot_failover", Flag)),
    ("slot.stream.params", Set("source.stream_options", Semicolons)),
    ("slot.max.retries", Together("source.slot_wait_ms")),
    ("slot.retry.delay.ms", Together("source.slot_wait_ms")),
    ("publication.name", Set("source.publication", Text)),
    (
        "publication.autocreate.mode",
        Word("source.publication_autocreate", &["all_tables", "filtered", "no_tables", "disabled"]),
    ),
    ("publish.via.partition.root", Set("source.publish_via_partition_root", Flag)),
    ("replica.identity.autoset.values", Set("source.replica_identities", List)),
    ("status.update.interval.ms", Set("source.status_interval_ms", Number)),
    ("flush.lsn.source", Together("source.lsn_flush")),
    ("lsn.flush.mode", Word("source.lsn_flush", &["connector", "manual", "connector_and_driver"])),
    ("lsn.flush.timeout.*", Ignored(NO_JDBC)),
    (
        "offset.mismatch.strategy",
        Word("source.offset_mismatch", &["no_validation", "trust_offset", "trust_slot", "trust_greater_lsn"]),
    ),
    ("internal.slot.seek.to.known.offset.on.start", Together("source.offset_mismatch")),
    ("schema.refresh.mode", Ignored("tables are read anew when the server says that they changed")),
    ("xmin.fetch.interval.ms", Set("source.xmin_interval_ms", Number)),
    ("internal.create.slot.command.timeout", Ignored(RUNTIME)),
    // which tables
    ("topic.prefix", Set("event.topic_prefix", Text)),
    ("schema.include.list", Set("source.schemas", List)),
    ("schema.exclude.list", Set("source.exclude_schemas", List)),
    ("table.include.list", Set("source.tables", List)),
    ("table.exclude.list", Set("source.exclude_tables", List)),
    ("column.include.list", Set("source.columns", List)),
    ("column.exclude.list", Set("source.exclude_columns", List)),
    ("table.ignore.builtin", Only(&["true"], "system tables are never read")),
    ("message.key.columns", Set("source.keys", Semicolons)),
    ("skipped.operations", Together("event.skip")),
    ("skip.messages.without.change", Set("event.skip_unchanged", Flag)),
    ("message.prefix.include.list", Set("source.message_prefixes", List)),
    ("message.prefix.exclude.list", Set("source.exclude_message_prefixes", List)),
    (
        "include.schema.comments",
        Ignored("Debezium's PostgreSQL connector writes no comments either; event.comments = true does"),
    ),
    ("include.unknown.datatypes", Set("source.unknown_types", Flag)),
    ("guardrail.*", Ignored("there is no limit on the number of tables")),
    // content of records
    ("decimal.handling.mode", Word("event.values.decimal", &["precise", "double", "string"])),
    (
        "time.precision.mode",
        Word(
            "event.values.time",
            &[
                "adaptive",
                "adaptive_time_microseconds",
                "connect",
                "isostring",
                "microseconds",
                "nanoseconds",
            ],
        ),
    ),
    ("binary.handling.mode", Word("event.values.binary", &["bytes", "base64", "base64-url-safe", "hex"])),
    ("hstore.handling.mode", Word("event.values.hstore", &["json", "map"])),
    ("interval.handling.mode", Word("event.values.interval", &["numeric", "string"])),
    ("money.fraction.digits", Set("event.values.money_digits", Number)),
    ("tombstones.on.delete", Set("event.tombstones", Flag)),
    ("unavailable.value.placeholder", Set("event.values.unavailable", Text)),
    ("schema.name.adjustment.mode", Word("event.schema_names", &["none", "avro", "avro_unicode"])),
    ("field.name.adjustment.mode", Word("event.field_names", &["none", "avro", "avro_unicode"])),
    ("sanitize.field.names", Together("event.field_names")),
    ("column.propagate.source.type", Set("event.source_type_columns", List)),
    ("datatype.propagate.source.type", Set("event.source_type_types", List)),
    ("column.mask.*", Together("event.mask")),
    ("column.truncate.*", Together("event.truncate")),
    ("converters", Only(&[""], CHANGES_RECORDS)),
    ("post.processors", Only(&[""], CHANGES_RECORDS)),
    ("provide.transaction.metadata", Set("event.transactions", Flag)),
    (
        "transaction.metadata.factory",
        Only(
            &["io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory"],
            "no Java class can be loaded here",
        ),
    ),
    ("extended.headers.enabled", Set("event.headers", Flag)),
    (
        "sourceinfo.struct.maker",
        Only(
            &["io.debezium.connector.postgresql.PostgresSourceInfoStructMaker"],
            "no Java class can be loaded here",
        ),
    ),
    (
        "event.converting.failure.handling.mode",
        Ignored("no field is left out: its record stops the connector, or goes to sink.dead_letter_topic"),
    ),
    (
        "event.*.failure.handling.mode",
        Unless(
            &["fail"],
            "no event is skipped: it stops the connector, or goes to sink.dead_letter_topic \
             (errors.deadletterqueue.topic.name)",
        ),
    ),
    ("transforms*", Together("transform")),
    ("predicates*", Together("predicate")),
    ("header.converter", Only(&["org.apache.kafka.connect.storage.SimpleHeaderConverter"], CHANGES_RECORDS)),
    // topics
    ("topic.naming.strategy", Together("event.topic_naming")),
    ("topic.delimiter", Set("event.topic_delimiter", Text)),
    ("topic.regex", Set("event.topic_regex", Text)),
    ("topic.replacement", Set("event.topic_replacement", Text)),
    ("topic.key.enforce.uniqueness", Set("event.topic_key_unique", Flag)),
    ("topic.key.field.name", Set("event.topic_key_field", Text)),
    ("topic.key.field.regex", Set("event.topic_key_regex", Text)),
    ("topic.key.field.replacement", Set("event.topic_key_replacement", Text)),
    ("topic.cache.size", Ignored(RUNTIME)),
    ("topic.transaction", Set("event.transaction_topic", Text)),
    ("topic.heartbeat.prefix", Set("event.heartbeat_prefix", Text)),
    ("topic.heartbeat.name", Set("event.heartbeat_topic", Text)),
    ("heartbeat.topics.prefix", Set("event.heartbeat_prefix", Text)),
    ("heartbeat.interval.ms", Set("event.heartbeat_interval_ms", Number)),
    ("heartbeat.action.query", Set("source.heartbeat_query", Text)),
    ("topic.creation.*", Together("sink.topic")),
    ("signal.data.collection", Set("signal.table", Text)),
    ("signal.enabled.channels", Together("signal.channels")),
    ("signal.poll.interval.ms", Set("signal.poll_interval_ms", Number)),
    ("signal.kafka.topic", Set("signal.topic", Text)),
    ("signal.kafka.groupId", Set("signal.group", Text)),
    ("signal.kafka.bootstrap.servers", Ignored("signals are read from the sink's cluster")),
    ("signal.kafka.poll.timeout.ms", Ignored(RUNTIME)),
    ("signal.consumer.*", Ignored("signals are read with the sink's security settings")),
    ("signal.file", Set("signal.file", Text)),
    ("notification.enabled.channels", Together("event.notifications")),
    ("notification.sink.topic.name", Set("event.notification_topic", Text)),
    ("read.only", Set("signal.read_only", Flag)),
    // snapshot
    (
        "snapshot.mode",
        Word(
            "snapshot.mode",
            &["initial", "initial_only", "no_data", "never", "always", "when_needed", "configuration_based"],
        ),
    ),
    ("snapshot.mode.configuration.based.snapshot.data", Set("snapshot.configuration_based.data", Flag)),
    ("snapshot.mode.configuration.based.start.stream", Set("snapshot.configuration_based.stream", Flag)),
    (
        "snapshot.mode.configuration.based.snapshot.on.data.error",
        Set("snapshot.configuration_based.on_data_error", Flag),
    ),
    ("snapshot.mode.configuration.based.*", Ignored("PostgreSQL has no schema history to read")),
    ("snapshot.mode.*", Ignored("there are no classes to load here")),
    ("snapshot.locking.mode", Unless(&["none", "shared"], ACCESS_SHARE)),
    ("snapshot.locking.*", Ignored(ACCESS_SHARE)),
    ("snapshot.query.mode", Only(&["select_all"], "there are no classes to load here")),
    ("snapshot.query.*", Refused("there are no classes to load here")),
    (
        "snapshot.isolation.mode",
        Unless(&["serializable", "repeatable_read"], "the snapshot is read at one point in time"),
    ),
    ("snapshot.lock.timeout.ms", Set("snapshot.lock_timeout_ms", Number)),
    ("snapshot.include.collection.list", Set("snapshot.tables", List)),
    ("snapshot.select.statement.overrides*", Together("snapshot.select")),
    ("snapshot.fetch.size", Ignored("tables are read by COPY")),
    ("snapshot.max.threads", Set("snapshot.max_threads", Number)),
    ("snapshot.max.threads.*", Ignored("pieces have a size in bytes: snapshot.chunk_bytes")),
    ("legacy.snapshot.max.threads", Ignored("tables are shared out piece by piece")),
    ("snapshot.tables.order.by.row.count", Word("snapshot.order", &["disabled", "ascending", "descending"])),
    ("snapshot.delay.ms", Set("snapshot.delay_ms", Number)),
    ("streaming.delay.ms", Set("snapshot.streaming_delay_ms", Number)),
    ("incremental.snapshot.chunk.size", Set("signal.chunk_rows", Number)),
    (
        "incremental.snapshot.watermarking.strategy",
        Word("signal.watermarking", &["insert_insert", "insert_delete"]),
    ),
    (
        "incremental.snapshot.allow.schema.changes",
        Ignored("a chunk of a table that was altered is read again"),
    ),
    ("internal.*", Ignored("it is internal to Debezium")),
    // other databases
    ("database.include.list", Ignored(OTHER)),
    ("database.exclude.list", Ignored(OTHER)),
    ("database.ssl.*", Ignored(OTHER)),
    ("database.server.*", Ignored(OTHER)),
    ("database.protocol", Ignored(OTHER)),
    ("database.jdbc.driver", Ignored(OTHER)),
    ("connect.timeout.ms", Ignored(OTHER)),
    ("connect.keep.alive*", Ignored(OTHER)),
    ("use.nongraceful.disconnect", Ignored(OTHER)),
    ("binlog.*", Ignored(OTHER)),
    ("include.query", Ignored(OTHER)),
    ("include.schema.changes", Ignored(OTHER)),
    ("gtid.*", Ignored(OTHER)),
    ("bigint.unsigned.handling.mode", Ignored(OTHER)),
    ("enable.time.adjuster", Ignored(OTHER)),
    ("inconsistent.schema.handling.mode", Ignored(OTHER)),
    ("ddl.parser.type", Ignored(OTHER)),
    ("min.row.count.to.stream.results", Ignored(OTHER)),
    ("schema.history.*", Ignored(OTHER)),
    ("schema.storage.*", Ignored(OTHER)),
    ("table.storage.*", Ignored(OTHER)),
    // running
    ("query.fetch.size", Ignored(RUNTIME)),
    ("max.batch.size", Ignored(RUNTIME)),
    ("max.queue.size*", Ignored(RUNTIME)),
    ("poll.interval.ms", Ignored(RUNTIME)),
    ("queue.provider.type", Ignored(RUNTIME)),
    (
        "errors.tolerance",
        Unless(
            &["none"],
            "no record is skipped: it stops the connector, or goes to sink.dead_letter_topic \
             (errors.deadletterqueue.topic.name)",
        ),
    ),
    // In Kafka Connect it is for sinks alone.
    ("errors.deadletterqueue.topic.name", Set("sink.dead_letter_topic", Text)),
    ("errors.*", Ignored("what may pass by itself is always tried again")),
    ("retriable.restart.connector.wait.ms", Ignored("what may pass by itself is always tried again")),
    ("custom.retriable.exception", Ignored("what may pass by itself is always tried again")),
    ("executor.shutdown.timeout.ms", Ignored(RUNTIME)),
    ("custom.metric.tags", Ignored("metrics carry no tags of one's own")),
    ("statistics.metrics.enabled", Ignored("metrics are always on")),
    ("custom.sanitize.pattern", Ignored("secrets are never shown")),
    ("openlineage.*", Unless(&["false", ""], "OpenLineage is not supported")),
    ("exactly.once.support", Together("sink.delivery")),
    (
        "transaction.boundary",
        Only(&["poll", "interval"], "records become visible between the database's transactions"),
    ),
    ("transaction.boundary.interval.ms", Set("sink.commit_interval_ms", Number)),
    ("offsets.storage.topic", Set("offset.topic", Text)),
    (
        "producer.override.compression.type",
        Word("sink.compression", &["none", "gzip", "snappy", "lz4", "zstd"]),
    ),
    ("producer.override.linger.ms", Set("sink.linger_ms", Number)),
    ("producer.override.batch.size", Set("sink.batch_bytes", Number)),
    ("producer.override.max.request.size", Set("sink.message_max_bytes", Number)),
    ("producer.override.buffer.memory", Set("sink.queue_bytes", Number)),
    ("producer.override.acks", Only(&["all", "-1"], "the producer always waits for all in-sync replicas")),
    ("producer.override.transaction.timeout.ms", Set("sink.transaction_timeout_ms", Number)),
    ("producer.override.*", Unless(&[], "set it as librdkafka names it, under sink.kafka.properties")),
    ("consumer.override.*", Ignored("the connector reads nothing but its offsets")),
];

/// Properties of the worker.
pub const WORKER: &[(&str, Rule)] = &[
    ("bootstrap.servers", Set("sink.kafka.brokers", Text)),
    ("key.converter*", Together("avro")),
    ("value.converter*", Together("avro")),
    ("header.converter", Only(&["org.apache.kafka.connect.storage.SimpleHeaderConverter"], CHANGES_RECORDS)),
    ("offset.storage.topic", Together("offset.topic")),
    ("offset.storage.file.filename", Together("offset.path")),
    ("offset.storage.partitions", Set("offset.topic_partitions", Number)),
    ("offset.storage.replication.factor", Set("offset.topic_replicas", Number)),
    ("offset.flush.interval.ms", Set("offset.interval_ms", Number)),
    ("offset.*", Ignored(CONNECT)),
    ("security.protocol", Together("sink.kafka.security.protocol")),
    ("sasl.mechanism", Set("sink.kafka.security.sasl_mechanism", Text)),
    ("sasl.jaas.config", Together("sink.kafka.security")),
    (
        "ssl.truststore.location",
        Refused("name the authority's PEM file in sink.kafka.security.ca_file instead"),
    ),
    (
        "ssl.keystore.location",
        Refused("name PEM files in sink.kafka.security.cert_file and key_file instead"),
    ),
    ("ssl.*", Ignored("librdkafka has settings of its own: sink.kafka.properties")),
    ("producer.compression.type", Word("sink.compression", &["none", "gzip", "snappy", "lz4", "zstd"])),
    ("producer.linger.ms", Set("sink.linger_ms", Number)),
    ("producer.batch.size", Set("sink.batch_bytes", Number)),
    ("producer.max.request.size", Set("sink.message_max_bytes", Number)),
    ("producer.buffer.memory", Set("sink.queue_bytes", Number)),
    ("producer.acks", Only(&["all", "-1"], "the producer always waits for all in-sync replicas")),
    ("producer.security.protocol", Together("sink.kafka.security.protocol")),
    ("producer.sasl.jaas.config", Together("sink.kafka.security")),
    ("producer.sasl.mechanism", Set("sink.kafka.security.sasl_mechanism", Text)),
    (
        "producer.ssl.truststore.location",
        Refused("name the authority's PEM file in sink.kafka.security.ca_file instead"),
    ),
    ("producer.*", Unless(&[], "set it as librdkafka names it, under sink.kafka.properties")),
    ("exactly.once.source.support", Together("sink.delivery")),
    ("transaction.timeout.ms", Ignored("it is of the worker's own transactions")),
    ("topic.creation.enable", Together("sink.topic")),
    ("config.providers*", Ignored("${file:…} and ${env:…} are always understood")),
    ("group.id", Ignored(CONNECT)),
    ("client.id", Ignored(CONNECT)),
    ("config.storage.*", Ignored(CONNECT)),
    ("status.storage.*", Ignored(CONNECT)),
    ("rest.*", Ignored(CONNECT)),
    ("listeners*", Ignored(CONNECT)),
    ("plugin.*", Ignored(CONNECT)),
    ("consumer.*", Ignored(CONNECT)),
    ("admin.*", Ignored(CONNECT)),
    ("task.*", Ignored(CONNECT)),
    ("connector.*", Ignored(CONNECT)),
];

/// Properties of the Avro converter, without `key.converter.` or `value.converter.`.
pub const CONVERTER: &[(&str, Rule)] = &[
    ("schema.registry.url", Set("avro.registry.url", List)),
    ("http.connect.timeout.ms", Ignored("http.read.timeout.ms is for the whole of a request here")),
    ("http.read.timeout.ms", Set("avro.registry.timeout_ms", Number)),
    ("auto.register.schemas", Set("avro.auto_register", Flag)),
    ("basic.auth.credentials.source", Together("avro.registry.username")),
    ("basic.auth.user.info", Together("avro.registry.username")),
    ("schema.registry.basic.auth.user.info", Together("avro.registry.username")),
    ("bearer.auth.credentials.source", Only(&["STATIC_TOKEN"], "only a fixed token is supported")),
    ("bearer.auth.token", Set("avro.registry.bearer_token", Text)),
    (
        "schema.registry.ssl.truststore.location",
        Refused("name the PEM file in avro.registry.tls.ca_file instead"),
    ),
    ("schema.registry.ssl.keystore.location", Refused("name PEM files in avro.registry.tls instead")),
    ("schema.registry.ssl.*", Ignored("it belongs to a Java key store")),
    (
        "use.latest.version",
        Only(&["false"], "records are written with the schema that follows from their table"),
    ),
    ("use.schema.id", Only(&["-1"], "records are written with the schema that follows from their table")),
    ("latest.compatibility.strict", Ignored("it belongs to use.latest.version")),
    ("id.compatibility.strict", Ignored("it belongs to use.schema.id")),
    ("key.subject.name.strategy", Together("avro.key_subject")),
    ("value.subject.name.strategy", Together("avro.value_subject")),
    ("normalize.schemas", Set("avro.normalize", Flag)),
    ("connect.meta.data", Set("avro.connect_properties", Flag)),
    ("enhanced.avro.schema.support", Ignored("there is nothing in Debezium's schemas that it changes")),
    ("generalized.sum.type.support", Ignored("there is nothing in Debezium's schemas that it changes")),
    ("scrub.invalid.names", Set("avro.scrub_names", Flag)),
    ("ignore.default.for.nullables", Set("avro.keep_nulls", Flag)),
    ("discard.type.doc.default", Set("avro.field_docs", Flag)),
    ("allow.optional.map.keys", Ignored("no column makes a map")),
    ("flatten.singleton.unions", Ignored("no column makes a union of one")),
    ("schemas.cache.config", Ignored(RUNTIME)),
    ("schemas.enable", Ignored("it belongs to the JSON converter")),
];

/// Properties of the converters without a registry, for keys.
pub const JSON_KEY: &[(&str, Rule)] = &[
    ("schemas.enable", Set("encode.key.schemas", Flag)),
    ("decimal.format", Word("encode.key.decimals", &["base64", "numeric"])),
    ("replace.null.with.default", Set("encode.key.keep_nulls", Negated)),
    ("schemas.cache.size", Ignored(RUNTIME)),
    ("encoding", Only(&["UTF-8", "UTF8"], "texts are UTF-8")),
    ("*", Ignored("it belongs to another converter")),
];

/// The same for values.
pub const JSON_VALUE: &[(&str, Rule)] = &[
    ("schemas.enable", Set("encode.value.schemas", Flag)),
    ("decimal.format", Word("encode.value.decimals", &["base64", "numeric"])),
    ("replace.null.with.default", Set("encode.value.keep_nulls", Negated)),
    ("schemas.cache.size", Ignored(RUNTIME)),
    ("encoding", Only(&["UTF-8", "UTF8"], "texts are UTF-8")),
    ("*", Ignored("it belongs to another converter")),
];

/// The rule for a name.
pub fn rule(table: &[(&str, Rule)], name: &str) -> Option<Rule> {
    let fits = |pattern: &str| match pattern.split_once('*') {
        Some((front, back)) => {
            name.strip_prefix(front).is_some_and(|rest| rest.len() >= back.len() && rest.ends_with(back))
        }
        None => pattern == name,
    };
    table.iter().find(|(pattern, _)| fits(pattern)).map(|(_, rule)| *rule)
}
