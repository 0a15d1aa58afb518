"""The work of the test plugin `unique` as a process of its own; see src/bin/unique-native.rs."""

import base64
import json
import os
import sys

request = json.loads(base64.b64decode(sys.argv[1]))
if request["action"] == "request":
    entry = {"name": "Password", "type": "text", "value": os.urandom(16).hex()}
    answer = {"result": "ok", "state": os.urandom(16).hex(), "credential": [entry]}
elif request["action"] == "revoke":
    answer = {"result": "ok"}
else:
    sys.exit("the action is unknown")
print(json.dumps(answer))
