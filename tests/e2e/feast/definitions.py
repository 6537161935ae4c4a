"""What the real Feast SDK is told about the features that the agent writes."""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Float64, Int64

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
batch = FileSource(name="spend_batch", path="data/spend.parquet", timestamp_field="event_timestamp")
push = PushSource(name="spend_push", batch_source=batch)
spend = FeatureView(
    name="user_spend",
    entities=[user],
    ttl=timedelta(days=1),
    online=True,
    source=push,
    schema=[
        Field(name="user_id", dtype=Int64),
        Field(name="count_10m", dtype=Int64),
        Field(name="sum_10m", dtype=Float64),
        Field(name="avg_spend_10m", dtype=Float64),
        Field(name="min_10m", dtype=Float64),
        Field(name="max_10m", dtype=Float64),
        Field(name="last_10m", dtype=Float64),
    ],
)
