"""The work of the test plugin `unique` as a process of its own; see src/bin/unique-native.rs."""

import base64
import json
import secrets
import sys

request = json.loads(base64.b64decode(sys.argv[1]))
if request["action"] == "request":
    entry = {"name": "Password", "type": "text", "value": secrets.token_hex(16)}
    answer = {"result": "ok", "state": secrets.token_hex(16), "credential": [entry]}
elif request["action"] == "revoke":
    answer = {"result": "ok"}
else:
    sys.exit("the action is unknown")
print(json.dumps(answer))
