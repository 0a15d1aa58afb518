"""What exists at the daemon, as far as answers told, and new things where there are none: without real ids most requests end at a 404."""

from collections import defaultdict

import daemon

# More of a kind are not kept in mind; the oldest go first.
_MOST = 12

_COMPANIES = "/v1/company/companies"
_USERS = "/v1/user/users"
_TYPES = "/v1/credential-type/credential-types"
_CREDENTIALS = "/v1/credential/credentials"

# What the data of a good answer is: one record, or a list of them.
_DATA = {
    _COMPANIES: "company",
    _USERS: "user",
    _TYPES: "type",
    _TYPES + "/{identifier}": "type",
    _TYPES + "/{id}/credentials": "credential",
    _CREDENTIALS: "credential",
    _CREDENTIALS + "/{id}": "credential",
    _CREDENTIALS + "/company/{companyId}": "credential",
}


class Known:
    """Records by kind and id. Chooses by `random`; what is missing is made by `client`."""

    def __init__(self, client, random):
        self._client = client
        self._random = random
        self._records = defaultdict(dict)
        for path in (_COMPANIES, _USERS):
            self._add(_DATA[path], *client.list(path))

    def one(self, kind):
        """One of a kind; a new one where none is known, and where each is good for one use."""
        if kind in ("lease", "handoff"):
            return {"id": self._client.new_lease()[kind]}
        records = list(self._records[kind].values())
        return self._random.choice(records) if records else self.new(kind)

    def new(self, kind):
        """A type or a credential that was not there before."""
        if kind == "credential":
            # Those that are known may have been deleted by name.
            company = self._random.choice(self._client.list(_COMPANIES))
            made = self._client.new_credential(self.new("type")["id"], company["id"])
        else:
            made = self._client.new_type()
        self._add(kind, made)
        return made

    def named(self, kind, name):
        """What is known of the one with this id."""
        return self._records[kind].get(name)

    def learn(self, case, response):
        """Takes in what an answer says."""
        if response.status_code in (200, 201) and case.method != "DELETE":
            if kind := _DATA.get(case.operation.path):
                data = response.json()["data"]
                self._add(kind, *(data if isinstance(data, list) else [data]))
        elif response.status_code in (200, 404):
            self._forget((case.path_parameters or {}).values())

    def _add(self, kind, *records):
        known = self._records[kind]
        for record in records:
            known[record["id"]] = {**known.get(record["id"], {}), **record}
        while len(known) > _MOST:
            del known[next(iter(known))]

    def _forget(self, ids):
        for records in self._records.values():
            for one in ids:
                records.pop(one, None)
