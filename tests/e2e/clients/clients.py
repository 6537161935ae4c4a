"""What Python's Kafka clients do at the agent's door: BROKERS REGISTRY BASE_MS COUNT.

Each client writes the same records with each codec, once idempotent and once not, reads them back and compares;
a line says so for each topic. Confluent's also writes and reads Avro by the agent's registry.
"""

import sys
import time

import confluent_kafka
import kafka
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

brokers, registry, base, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
LIMIT_S = 60


def made(n):
    """The record of a number: key, value, headers, time; the test that calls this knows the rule."""
    key = None if n % 5 == 0 else b"k%d" % (n % 7)
    value = None if n % 11 == 0 and key else b"%d %s" % (n, b"x" * (n * 7 % 300))
    return key, value, [("n", b"%d" % n)] if n % 3 == 0 else [], base + n


def same(topic, found):
    assert len(found) == count, f"{topic}: {len(found)} records of {count}"
    for n, one in enumerate(found):
        assert one == made(n), f"{topic}: record {n} is {one}, wanted {made(n)}"
    print("ok", topic, flush=True)


def confluent(codec, idempotent):
    topic = f"confluent.{codec}.{str(idempotent).lower()}"
    settings = {"compression.type": codec, "enable.idempotence": idempotent, "linger.ms": 5}
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers, **settings})
    refused = []

    def told(error, _):
        if error is not None:
            refused.append(error)

    for n in range(count):
        key, value, headers, at = made(n)
        producer.produce(topic, value, key, partition=0, timestamp=at, headers=headers, on_delivery=told)
    assert producer.flush(LIMIT_S) == 0 and not refused, (topic, refused[:3])
    for how in ["assign", "subscribe"]:
        settings = {"group.id": f"group.{topic}.{how}", "auto.offset.reset": "earliest"}
        consumer = confluent_kafka.Consumer({"bootstrap.servers": brokers, **settings})
        if how == "assign":
            consumer.assign([confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
        else:
            consumer.subscribe([topic])
        found, until = [], time.monotonic() + LIMIT_S
        while len(found) < count and time.monotonic() < until:
            for message in consumer.consume(1000, 1):
                assert message.error() is None, (topic, message.error())
                headers = message.headers() or []
                found.append((message.key(), message.value(), headers, message.timestamp()[1]))
        consumer.close()
        same(topic, found)


def pure(codec, idempotent):
    topic = f"kafka-python.{codec}.{str(idempotent).lower()}"
    producer = kafka.KafkaProducer(
        bootstrap_servers=brokers,
        compression_type=None if codec == "none" else codec,
        enable_idempotence=idempotent,
        acks="all",
        linger_ms=5,
    )
    futures = []
    for n in range(count):
        key, value, headers, at = made(n)
        futures.append(producer.send(topic, value, key, headers, partition=0, timestamp_ms=at))
    producer.flush(LIMIT_S)
    assert [future.get(LIMIT_S).offset for future in futures] == list(range(count)), topic
    producer.close()
    for how in ["assign", "subscribe"]:
        group = None if how == "assign" else f"group.{topic}"
        consumer = kafka.KafkaConsumer(bootstrap_servers=brokers, group_id=group, auto_offset_reset="earliest")
        if how == "assign":
            consumer.assign([kafka.TopicPartition(topic, 0)])
            consumer.seek_to_beginning()
        else:
            consumer.subscribe([topic])
        found, until = [], time.monotonic() + LIMIT_S
        while len(found) < count and time.monotonic() < until:
            for records in consumer.poll(timeout_ms=1000).values():
                found += [(one.key, one.value, list(one.headers), one.timestamp) for one in records]
        consumer.close()
        same(topic, found)


def avro():
    """A row with a type of another subject, by Confluent's serializer."""
    client = SchemaRegistryClient({"url": registry})
    point = '{"type": "record", "name": "Point", "fields": [{"name": "x", "type": "int"}]}'
    client.register_schema("Point", Schema(point, "AVRO"))
    reference = SchemaReference(name="Point", subject="Point", version=1)
    fields = '{"name": "at", "type": "Point"}, {"name": "note", "type": ["null", "string"]}'
    place = Schema(f'{{"type": "record", "name": "Place", "fields": [{fields}]}}', "AVRO", [reference])
    rows = [{"at": {"x": n - 50}, "note": None if n % 2 else f"note {n}"} for n in range(count)]
    serializer, context = AvroSerializer(client, place), SerializationContext("avro", MessageField.VALUE)
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for row in rows:
        producer.produce("avro", serializer(row, context), partition=0)
    assert producer.flush(LIMIT_S) == 0
    reader = confluent_kafka.Consumer({"bootstrap.servers": brokers, "group.id": "avro"})
    reader.assign([confluent_kafka.TopicPartition("avro", 0, confluent_kafka.OFFSET_BEGINNING)])
    deserializer, found, until = AvroDeserializer(client), [], time.monotonic() + LIMIT_S
    while len(found) < count and time.monotonic() < until:
        found += [deserializer(message.value(), context) for message in reader.consume(1000, 1)]
    reader.close()
    assert found == rows, found[:3]
    print("ok avro", flush=True)


for codec in CODECS:
    for idempotent in [True, False]:
        confluent(codec, idempotent)
        pure(codec, idempotent)
avro()
