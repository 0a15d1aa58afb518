"""The daemon under test (`credsmith dev`) as its clients know it: where it is, how somebody signs in, and how records are made there."""

import os
import re
from urllib.parse import parse_qsl, urlsplit

import requests

URL = os.environ["CREDSMITH_URL"]
ISSUER = os.environ["CREDSMITH_ISSUER"]
PROVIDER = "dev"

_PATIENCE = 30

_TYPES = "/v1/credential-type/credential-types"
_CREDENTIALS = "/v1/credential/credentials"
_PASSWORD = {"id": "password", "name": "Password", "required": True, "secure": True, "valueType": "password"}
_NOTE = {"id": "note", "name": "Note", "required": False, "secure": False, "valueType": "multi_line"}


def sign_in(account):
    """The tokens of a new session of the vault: `accessToken` and `refreshToken`."""
    back = requests.get(
        f"{URL}/v1/auth/redirect",
        params=come_back(account),
        headers={"Accept": "application/json"},
        timeout=_PATIENCE,
    )
    return _ok(back)["data"]


def come_back(account):
    """What a browser brings back from the provider, as a query. The demo provider answers without a page to whoever says who it is."""
    uri = begin()["uri"]
    gone = requests.get(f"{uri}&login_hint={account}", allow_redirects=False, timeout=_PATIENCE)
    return dict(parse_qsl(urlsplit(gone.headers["location"]).query))


def question(account):
    """The token of the page that asks whether a client may have the tokens of `account`."""
    page = requests.get(
        f"{URL}/v1/auth/redirect",
        params=come_back(account),
        headers={"Accept": "text/html"},
        timeout=_PATIENCE,
    )
    page.raise_for_status()
    return re.search(r'name="token" value="([^"]*)"', page.text)[1]


def begin():
    """A sign-in that has begun: `uri` and `callbackKey`."""
    return _ok(requests.get(f"{URL}/v1/auth/uri", timeout=_PATIENCE))["data"]


def provider_token(account):
    """An access token of the demo provider, for the WaTTS dialect."""
    answer = requests.get(f"{ISSUER}/dev/token", params={"user": account}, timeout=_PATIENCE)
    answer.raise_for_status()
    return answer.text.strip()


class Client:
    """Somebody who makes records, with a session of their own that nobody else ends."""

    def __init__(self, account):
        self._account = account
        self._tokens = {}
        self._names = 0

    def list(self, path):
        """The records of a list of the vault."""
        return self._call("GET", path)["data"]

    def new_type(self):
        """A type with a secure and a plain field."""
        body = {"name": self._name("Type"), "permissionScope": "fuzz.known", "fields": [_PASSWORD, _NOTE]}
        return self._call("POST", _TYPES, body)["data"]

    def new_credential(self, of, company):
        """A credential of a type of ours."""
        values = [{"fieldId": "password", "value": "hunter2"}]
        body = {"name": self._name("Credential"), "typeId": of, "companyId": company, "fields": values}
        return self._call("POST", _CREDENTIALS, body)["data"]

    def new_lease(self):
        """A credential of the service `info`, which waits to be read: `handoff` and `lease`, ids both. The ones before it are revoked."""
        path = f"/api/v2/{PROVIDER}/credential"
        for lease in self._leases(path):
            self._call("DELETE", f"{path}/{lease}")
        issued = self._send("POST", path, {"service_id": "info"})
        [lease] = self._leases(path)
        return {"handoff": issued.headers["location"].rsplit("/", 1)[1], "lease": lease}

    def _leases(self, path):
        listed = self._call("GET", path)["credential_list"]
        return [lease["cred_id"] for lease in listed if lease["service_id"] == "info"]

    def _name(self, kind):
        self._names += 1
        return f"{kind} {self._names}"

    def _call(self, method, path, body=None):
        return _ok(self._send(method, path, body))

    def _send(self, method, path, body):
        answer = self._ask(method, path, body)
        if answer.status_code == 401:
            self._tokens.clear()
            answer = self._ask(method, path, body)
        answer.raise_for_status()
        return answer

    def _ask(self, method, path, body):
        headers = {"Authorization": f"Bearer {self._token(path)}"}
        url = f"{URL}{path}"
        return requests.request(method, url, json=body, headers=headers, allow_redirects=False, timeout=_PATIENCE)

    def _token(self, path):
        kind = "vault" if path.startswith("/v1/") else "provider"
        if kind not in self._tokens:
            enter = provider_token if kind == "provider" else lambda account: sign_in(account)["accessToken"]
            self._tokens[kind] = enter(self._account)
        return self._tokens[kind]


def _ok(answer):
    answer.raise_for_status()
    return answer.json()
