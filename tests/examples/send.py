"""Sends requests as Python does. In: a request a line, as JSON. Out: an answer a line."""

import json
import sys

import requests

session = requests.Session()
for line in sys.stdin:
    request = json.loads(line)
    body = request["body"].encode() or None
    answer = session.request(request["method"], request["url"], headers=request["headers"], data=body)
    answer.encoding = "utf-8"
    kind = answer.headers.get("Content-Type")
    print(json.dumps({"code": answer.status_code, "kind": kind, "body": answer.text}), flush=True)
