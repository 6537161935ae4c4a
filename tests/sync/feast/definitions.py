"""What the real Feast SDK is told about the features that the agents bring. RAW=0: without bytes."""

import os
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Bool, Bytes, Float64, Int64, String, UnixTimestamp

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
batch = FileSource(name="batch", path="data/batch.parquet", timestamp_field="event_timestamp")
profile_push = PushSource(name="profile_push", batch_source=batch)
pair_push = PushSource(name="pair", batch_source=batch)
raw = [Field(name="raw", dtype=Bytes)] if os.environ.get("RAW", "1") == "1" else []
# With a length Feast refuses a push in which all vectors are null.
place = {"vector_index": True, "vector_length": 2, "vector_search_metric": "L2"} if raw else {}
profile = FeatureView(
    name="profile",
    entities=[user],
    ttl=timedelta(days=1),
    online=True,
    source=profile_push,
    schema=[
        Field(name="user_id", dtype=Int64),
        Field(name="visits", dtype=Int64),
        Field(name="amount", dtype=Float64),
        Field(name="name", dtype=String),
        Field(name="flag", dtype=Bool),
        Field(name="seen", dtype=UnixTimestamp),
        Field(name="recent", dtype=Array(Float64)),
        Field(name="x", dtype=Float64),
        Field(name="y", dtype=Float64),
        Field(name="place", dtype=Array(Float64), **place),
    ]
    + raw,
)
pair = FeatureView(
    name="pair",
    entities=[user, shop],
    ttl=timedelta(days=1),
    online=True,
    source=pair_push,
    schema=[
        Field(name="user_id", dtype=Int64),
        Field(name="shop", dtype=String),
        Field(name="total", dtype=Float64),
    ],
)
