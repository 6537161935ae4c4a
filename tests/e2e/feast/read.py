"""Reads features with the real Feast SDK: one line in (a JSON list of user ids), one line out.

The answer is a JSON object: feature name -> list of values, in the order of the ids.
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

from feast import FeatureStore

store = FeatureStore(sys.argv[1])
NAMES = ["count_10m", "sum_10m", "avg_spend_10m", "min_10m", "max_10m", "last_10m"]
print("ready", flush=True)
for line in sys.stdin:
    rows = [{"user_id": user} for user in json.loads(line)]
    answer = store.get_online_features(features=[f"user_spend:{name}" for name in NAMES], entity_rows=rows)
    print(json.dumps(answer.to_dict()), flush=True)
