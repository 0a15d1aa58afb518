"""How many requests were sent and what was answered, for whoever started this process."""

import atexit
import json
import os
from collections import Counter

_statuses = Counter()
_operations = {}


def count(case, response):
    """One answer."""
    _statuses[response.status_code] += 1
    _operations.setdefault(case.operation.label, Counter())[response.status_code] += 1


@atexit.register
def _write():
    with open(os.environ["FUZZ_TALLY"], "w", encoding="utf-8") as file:
        json.dump({"statuses": _statuses, "operations": _operations}, file)
