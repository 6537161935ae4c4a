"""Reads features with the real Feast SDK: one JSON line in, one out.

{"users": [...]} gives {user: {feature: value}} of both views; {"near": [x, y]} the users nearest to it.
Bytes come as base64, moments as seconds, as the agent itself answers.
"""

import base64
import json
import os
import sys
import warnings
from datetime import datetime, timezone

warnings.filterwarnings("ignore")

from feast import FeatureStore

store = FeatureStore(sys.argv[1])
NAMES = ["visits", "amount", "name", "flag", "seen", "recent", "x", "y", "place"]
if os.environ.get("RAW", "1") == "1":
    NAMES.append("raw")


def plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return int(moment.timestamp())
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def features(users):
    rows = [{"user_id": user, "shop": f"s{user % 3}"} for user in users]
    names = [f"profile:{name}" for name in NAMES] + ["pair:total"]
    answer = store.get_online_features(features=names, entity_rows=rows).to_dict()
    return {
        user: {name: plain(answer[name][at]) for name in NAMES + ["total"]} for at, user in enumerate(users)
    }


def near(point):
    names = ["profile:place", "profile:amount"]
    answer = store.retrieve_online_documents_v2(features=names, query=point, top_k=3, distance_metric="L2")
    return answer.to_dict()["place"]


print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    said = near(asked["near"]) if "near" in asked else features(asked["users"])
    print(json.dumps(said), flush=True)
