"""Feast's SDK with its remote online store on the agent, against the source's own answer; and the agent's
refusals against those of Feast's own feature server.

Arguments: a folder with wanted.json and entities.json, the address of the agent's feature server.
"""

import json
import socket
import sys
import threading
import time
from datetime import timedelta

import requests
import uvicorn
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.feature_server import get_app
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp

folder, address = sys.argv[1:]


def store(name, online):
    config = RepoConfig(
        project="edge",
        provider="local",
        registry=f"{folder}/{name}.db",
        online_store=online,
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    made = FeatureStore(config=config)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)

    def view(name, entities, fields):
        source = FileSource(name=f"{name}_batch", path=f"{folder}/{name}.parquet", timestamp_field="event_timestamp")
        schema = [Field(name=field, dtype=dtype) for field, dtype in fields.items()]
        return FeatureView(name=name, entities=entities, ttl=timedelta(days=1), source=source, schema=schema)

    kinds = {
        "amount": Float64, "weight": Float64, "flag": Bool, "label": String, "at": UnixTimestamp, "whole": Int64,
        "wholes": Array(Int64), "labels": Array(String), "things": Int64,
    }
    last = view("last_thing", [user, shop], {"user_id": Int64, "shop": String, **kinds})
    totals = {"things": Int64, "amount": Float64, "recent": Int64, "vector": Array(Float64)}
    total = view("user_total", [user], {"user_id": Int64, **totals})
    aged = view("aged", [shop], {"shop": String, "things": Int64})
    model = FeatureService(name="model", features=[last[["label"]], total])
    made.apply([user, shop, last, total, aged, model])
    return made, list(kinds), model


remote, names, model = store("remote", {"type": "remote", "path": address})
entities = json.load(open(f"{folder}/entities.json"))
wanted = {(row["user_id"], row["shop"]): row for row in json.load(open(f"{folder}/wanted.json"))}
assert len(wanted) > 5, wanted

# Every type, many entities at once, two views in one request, a composite key.
asked = [f"last_thing:{name}" for name in names] + ["user_total:things", "aged:things"]
answer = remote.get_online_features(asked, entities, full_feature_names=True)
got = answer.to_dict()
for at, entity in enumerate(entities):
    row = wanted.get((entity["user_id"], entity["shop"]))
    for name in names:
        value = got[f"last_thing__{name}"][at]
        value = list(value) if isinstance(value, (list, tuple)) else value
        if row is None:
            # Never seen, or all of its rows are gone.
            assert value is None or (name == "things" and value == 0), (entity, name, value)
        else:
            # PostgreSQL writes 12 for a double as well.
            same_kind = name in ("amount", "weight") or type(value) is type(row[name])
            assert value == row[name] and same_kind, (entity, name, value, row[name])

statuses = {}
for name, result in zip(answer.proto.metadata.feature_names.val, answer.proto.results):
    statuses[name] = {FieldStatus.Name(status) for status in result.statuses}
assert "NOT_FOUND" in statuses["last_thing__amount"], statuses
assert "PRESENT" in statuses["last_thing__things"], statuses
assert statuses["aged__things"] == {"OUTSIDE_MAX_AGE"}, statuses

# A feature service is known by its name.
of_model = remote.get_online_features(model, [{"user_id": 1, "shop": "north"}]).to_dict()
assert {"label", "things", "amount", "recent", "vector"} <= set(of_model), of_model

# What is wrong is said as Feast's own server says it; but for a composite key of which a part is missing, where it
# looks for an entity with the other part alone and finds nobody: the agent names the part (500).
local, _, _ = store("local", {"type": "sqlite", "path": f"{folder}/online.db"})
free = socket.socket()
free.bind(("127.0.0.1", 0))
port = free.getsockname()[1]
free.close()
threading.Thread(target=lambda: uvicorn.run(get_app(local), host="127.0.0.1", port=port, log_level="critical"), daemon=True).start()
theirs = f"http://127.0.0.1:{port}"
limit = time.monotonic() + 60
while True:
    try:
        if requests.get(f"{theirs}/health").ok:
            break
    except requests.ConnectionError:
        assert time.monotonic() < limit, "Feast's server does not start"
        time.sleep(0.2)

ENTITY = {"user_id": [1], "shop": ["north"]}
for case in [
    {"features": ["nobody:amount"], "entities": ENTITY},
    {"feature_service": "nobody", "entities": ENTITY},
    {"features": ["last_thing:nothing"], "entities": ENTITY},
    {"features": ["last_thing:amount"]},
    {"features": ["last_thing:amount"], "entities": {"user_id": 1, "shop": "north"}},
    {"features": "last_thing:amount", "entities": ENTITY},
    {"features": ["last_thing:amount"], "entities": {"user_id": [1, 2], "shop": ["north"]}},
]:
    answers = [requests.post(f"{base}/get-online-features", json=case) for base in (address, theirs)]
    codes = [one.status_code for one in answers]
    assert codes[0] == codes[1], (case, codes, [one.text for one in answers])
    bodies = [one.json() for one in answers]
    assert type(bodies[0]) is type(bodies[1]), (case, bodies)
    if codes[0] == 404:
        classes = [json.loads(body)["class"] for body in bodies]
        assert classes[0] == classes[1], (case, classes)
print("ok")
