"""Confluent's Python client against a registry behind TLS and a password: address, authority's file."""

import sys

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

url, authority = sys.argv[1:]
client = SchemaRegistryClient({"url": url, "ssl.ca.location": authority, "basic.auth.user.info": "edge:secret"})
text = '{"type": "record", "name": "Point", "fields": [{"name": "x", "type": "int"}]}'
serializer = AvroSerializer(client, text)
context = SerializationContext("python", MessageField.VALUE)
framed = serializer({"x": 7}, context)
assert AvroDeserializer(client)(framed, context) == {"x": 7}
line = '{"type": "record", "name": "Line", "fields": [{"name": "a", "type": "Point"}]}'
reference = SchemaReference(name="Point", subject="python-value", version=1)
client.register_schema("python-line-value", Schema(line, "AVRO", [reference]))
latest = client.get_latest_version("python-line-value")
assert [one.subject for one in latest.schema.references] == ["python-value"], latest
assert client.get_subjects() == ["python-line-value", "python-value"]
assert client.test_compatibility("python-value", Schema(text, "AVRO"))
client.set_compatibility("python-value", "FULL")
assert client.get_compatibility("python-value") == "FULL"
try:
    client.delete_version("python-value", 1)
    raise AssertionError("a referenced version was deleted")
except SchemaRegistryError as error:
    assert error.error_code == 42206, error
client.delete_subject("python-line-value")
client.delete_subject("python-line-value", permanent=True)
assert client.get_subjects() == ["python-value"]
wrong = SchemaRegistryClient({"url": url, "ssl.ca.location": authority, "basic.auth.user.info": "edge:guess"})
try:
    wrong.get_subjects()
    raise AssertionError("a wrong password was taken")
except SchemaRegistryError as error:
    assert error.http_status_code == 401, error
print("ok")
