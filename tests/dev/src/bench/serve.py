"""A Feast repository with the rows of rows.json in its online store (SQLite, Feast's default), served."""

import json
import os
import sys
import warnings
from datetime import datetime, timedelta, timezone

warnings.filterwarnings("ignore")

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64

with open("feature_store.yaml", "w") as settings:
    settings.write(
        "project: bench\nprovider: local\nregistry: registry.db\nonline_store:\n  type: sqlite\n  path: online.db\n"
        "offline_store:\n  type: file\nentity_key_serialization_version: 3\n"
    )
rows = pd.DataFrame(json.load(open("rows.json")))
rows["event_timestamp"] = datetime.now(timezone.utc)
rows.to_parquet("rows.parquet")
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
kinds = {"user_id": Int64, "count_10m": Int64}
view = FeatureView(
    name="user_spend",
    entities=[user],
    ttl=timedelta(days=1),
    source=FileSource(name="rows", path="rows.parquet", timestamp_field="event_timestamp"),
    schema=[Field(name=name, dtype=kinds.get(name, Float64)) for name in rows.columns if name != "event_timestamp"],
)
store = FeatureStore(".")
store.apply([user, view])
store.write_to_online_store("user_spend", rows)
os.execv(
    sys.executable,
    # It would begin anew after a thousand requests.
    [sys.executable, "-m", "feast.cli.cli", "serve", "-p", sys.argv[1], "--no-access-log", "--max-requests", "0"],
)
