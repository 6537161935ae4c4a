"""Reads vectors with the vendor's own client: a JSON list of ids in, {id: {values, metadata}} out."""

import json
import sys

from pinecone import Pinecone

index = Pinecone(api_key=sys.argv[2]).Index(host=sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    found = index.fetch(ids=json.loads(line), namespace="profile").vectors
    out = {key: {"values": list(one.values), "metadata": dict(one.metadata)} for key, one in found.items()}
    print(json.dumps(out), flush=True)
