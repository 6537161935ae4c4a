"""A training set against what was served, and Feast's `get_historical_features` over it against both.

Argument: a folder with served.json and train.parquet.
"""

import json
import math
import sys
from datetime import timedelta

import pandas as pd
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp

(folder,) = sys.argv[1:]
served = json.load(open(f"{folder}/served.json"))
path = f"{folder}/train.parquet"
table = pq.read_table(path)
types = {field.name: str(field.type) for field in table.schema}
assert types["event_timestamp"] == "timestamp[us, tz=UTC]", types
assert types["user_id"] == "int64" and types["shop"] == "string" and types["label"] == "int64", types
KINDS = {
    "last_thing__amount": (Float64, "double"),
    "last_thing__weight": (Float64, "double"),
    "last_thing__flag": (Bool, "bool"),
    "last_thing__label": (String, "string"),
    "last_thing__at": (UnixTimestamp, "timestamp[us, tz=UTC]"),
    "last_thing__whole": (Int64, "int64"),
    "last_thing__wholes": (Array(Int64), "list<element: int64>"),
    "last_thing__labels": (Array(String), "list<element: string>"),
    "last_thing__things": (Int64, "int64"),
    "user_total__things": (Int64, "int64"),
    "user_total__amount": (Float64, "double"),
    "user_total__recent": (Int64, "int64"),
    "user_total__vector": (Array(Float64), "list<element: double>"),
}
for name, (_, kind) in KINDS.items():
    assert types[name] == kind, (name, types[name], kind)


def plain(value):
    """As the feature server gives it: no value is None, a time is whole seconds."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if hasattr(value, "timestamp"):
        return math.floor(value.timestamp())
    return value


rows = table.to_pylist()
assert len(rows) == len(served)
values = 0
for at, (row, one) in enumerate(zip(rows, served)):
    assert row["label"] == at and row["user_id"] == one["user_id"] and row["shop"] == one["shop"]
    for name in KINDS:
        assert plain(row[name]) == one[name], (at, name, row[name], one[name], one)
        values += one[name] is not None
assert values > 200, values

store = FeatureStore(
    config=RepoConfig(
        project="edge",
        provider="local",
        registry=f"{folder}/registry.db",
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
)
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
view = FeatureView(
    name="train",
    entities=[user, shop],
    ttl=timedelta(days=1),
    source=FileSource(name="train_batch", path=path, timestamp_field="event_timestamp"),
    schema=[Field(name="user_id", dtype=Int64), Field(name="shop", dtype=String)]
    + [Field(name=name, dtype=kind) for name, (kind, _) in KINDS.items()],
)
store.apply([user, shop, view])
spine = table.select(["event_timestamp", "user_id", "shop", "label"]).to_pandas()
job = store.get_historical_features(entity_df=spine, features=[f"train:{name}" for name in KINDS])
frame = job.to_df().set_index("label")
assert len(frame) == len(served)
for at, one in enumerate(served):
    for name in KINDS:
        value = plain(frame.at[at, name])
        # Pandas makes doubles of integers, and of truths objects, where one is missing.
        assert value == one[name], ("Feast", at, name, value, one[name])
print("ok")
