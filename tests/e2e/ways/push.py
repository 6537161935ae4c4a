"""Feast's own client with its remote online store on the agent: pushes rows, reads them back.

Arguments: a folder to work in, the address of the agent's feature server.
"""

import sys
import time
from datetime import datetime, timedelta, timezone

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.types import Float64, Int64

folder, address = sys.argv[1:]
config = RepoConfig(
    project="edge",
    provider="local",
    registry=f"{folder}/registry.db",
    online_store={"type": "remote", "path": address},
    offline_store={"type": "file"},
    entity_key_serialization_version=3,
)
store = FeatureStore(config=config)
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
batch = FileSource(name="spend_batch", path=f"{folder}/spend.parquet", timestamp_field="event_timestamp")
view = FeatureView(
    name="pushed_spend",
    entities=[user],
    ttl=timedelta(days=1),
    source=PushSource(name="spend_push", batch_source=batch),
    schema=[Field(name="user_id", dtype=Int64), Field(name="spend", dtype=Float64)],
)
store.apply([user, view])


def read(ids):
    answer = store.get_online_features(["pushed_spend:spend"], [{"user_id": one} for one in ids]).to_dict()
    return dict(zip(answer["user_id"], answer["spend"]))


def soon(ids, wanted):
    limit = time.monotonic() + 20
    while (found := read(ids)) != wanted:
        assert time.monotonic() < limit, f"expected {wanted}, found {found}"
        time.sleep(0.1)


now = datetime.now(timezone.utc)
store.push("spend_push", pd.DataFrame({"user_id": [1, 2], "spend": [3.5, 4.0], "event_timestamp": [now, now]}))
soon([1, 2, 3], {1: 3.5, 2: 4.0, 3: None})
later = now + timedelta(milliseconds=5)
store.push("spend_push", pd.DataFrame({"user_id": [2], "spend": [9.25], "event_timestamp": [later]}))
soon([1, 2], {1: 3.5, 2: 9.25})
print("ok")
