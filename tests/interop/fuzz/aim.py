"""Points generated requests at what exists: ids in paths and bodies, tokens, roles, values for the fields that a type has."""

import daemon
import values

# How many of those that could be pointed at something are: the others keep what was generated.
_OFTEN = 0.8
_SOMETIMES = 0.5
# Where it costs several requests more.
_SELDOM = 0.3
# How many of the requests that need a token have none that is good.
_STRANGERS = 0.05

# What a parameter is the id of, by the beginning of the path.
_IDS = [
    ("/v1/company/companies/", "identifier", "company"),
    ("/v1/credential/credentials/company/", "companyId", "company"),
    ("/v1/credential/credentials/", "id", "credential"),
    ("/v1/credential-type/credential-types/", "identifier", "type"),
    ("/v1/credential-type/credential-types/", "id", "type"),
    ("/v1/user/users/", "id", "user"),
]
_LEASES = [
    ("/credential_data/{id}", "handoff"),
    ("/credential/{id}", "lease"),
]
# Version 1 of WaTTS names the provider of the token in it.
_ISSUER_HEADER = "X-OpenId-Connect-Issuer"
_SERVICES = ["info", "ssh", "admins"]
_ROLES = ["admin", "technician"]
_PLUGINS = ["generic", "aws", "totp"]


class Aim:
    """Chooses by `random` among what is `known`; signs in as `account`."""

    def __init__(self, known, random, account):
        self._known = known
        self._random = random
        self._account = account
        self._refresh_token = None

    def at_what_exists(self, case):
        """Changes `case`, more often than not."""
        path = case.operation.path
        if "Authorization" in case.headers and self._may(_STRANGERS):
            case.headers["Authorization"] = "Bearer nonsense"
        if _ISSUER_HEADER in case.headers and self._may(_OFTEN):
            case.headers[_ISSUER_HEADER] = daemon.PROVIDER
        if case.path_parameters:
            self._path(case.method, path, case.path_parameters)
        if path.startswith("/v1/auth/"):
            self._sign_in(path, case)
        if isinstance(case.body, dict):
            self._body(path, case.body, case.path_parameters or {})

    def learn(self, case, response):
        """A refresh token is good for the next one."""
        if case.operation.path == "/v1/auth/refresh":
            renewed = response.status_code == 201
            self._refresh_token = response.json()["data"]["refreshToken"] if renewed else None

    def _path(self, method, path, parameters):
        if "issuer" in parameters and self._may(_OFTEN):
            parameters["issuer"] = daemon.PROVIDER
        for end, kind in _LEASES:
            if path.endswith(end) and path.startswith("/api/") and self._may(_SELDOM):
                parameters["id"] = self._known.one(kind)["id"]
        for start, name, kind in _IDS:
            if path.startswith(start) and name in parameters and self._may(_OFTEN):
                # What is deleted is new, now and then: of the types that are known, many can never be deleted.
                fresh = method == "DELETE" and self._may(_SELDOM)
                one = self._known.new if fresh else self._known.one
                parameters[name] = one(kind)["id"]
                return

    def _sign_in(self, path, case):
        if path == "/v1/auth/refresh" and self._may(_OFTEN):
            self._refresh_token = self._refresh_token or daemon.sign_in(self._account)["refreshToken"]
            case.headers["x-refresh-token"] = self._refresh_token
        elif path == "/v1/auth/socket" and self._may(_SELDOM):
            case.query = {"callbackKey": daemon.begin()["callbackKey"]}
        elif path == "/v1/auth/redirect" and self._may(_SELDOM):
            case.query = daemon.come_back(self._account)
            case.headers["Accept"] = self._random.choice(["application/json", "text/html"])
        elif path == "/v1/auth/confirm" and self._may(_OFTEN):
            # The rest is refused before it is looked at.
            case.headers["Sec-Fetch-Site"] = "same-origin"
            if self._may(_SELDOM):
                case.body = {"token": daemon.question(self._account), "answer": self._random.choice(["yes", "no"])}

    def _body(self, path, body, parameters):
        if path == "/v1/credential/credentials":
            self._new_credential(body)
        elif path == "/v1/credential/credentials/{id}/fields":
            credential = self._known.named("credential", parameters.get("id"))
            self._values(body, credential and credential.get("typeId"))
        elif path.startswith("/v1/credential-type/") and self._may(_SOMETIMES):
            self._type(body)
        elif path == "/v1/user/users/{id}/roles" and "roles" in body and self._may(_SOMETIMES):
            body["roles"] = [role for role in _ROLES if self._may(_SOMETIMES)]
        elif "service_id" in body and self._may(_OFTEN):
            self._service(body)

    def _new_credential(self, body):
        if "companyId" in body and self._may(_OFTEN):
            body["companyId"] = self._known.one("company")["id"]
        if "typeId" in body and self._may(_OFTEN):
            body["typeId"] = self._known.one("type")["id"]
            self._values(body, body["typeId"])

    def _type(self, body):
        fitting = {"name": f"Type {self._random.getrandbits(32)}", "permissionScope": "fuzz.drawn", "icon": None}
        body.update({key: value for key, value in fitting.items() if key in body})
        if "plugin" in body:
            body["plugin"] = self._random.choice(_PLUGINS)
        if isinstance(body.get("fields"), list):
            values.make_consistent(body["fields"])

    # Values for fields of the type: some that fit, some that were drawn.
    def _values(self, body, type_id):
        of = self._known.named("type", type_id)
        sent = body.get("fields")
        if not of or not isinstance(sent, list) or not self._may(_OFTEN):
            return
        drawn = [one.get("value", "x") for one in sent if isinstance(one, dict)] or ["x"]
        fields = [field for field in of["fields"] if field["required"] or self._may(_SOMETIMES)]
        fit = self._may(_SOMETIMES)
        body["fields"] = [
            {"fieldId": field["id"], "value": values.fitting(field) if fit else self._random.choice(drawn)}
            for field in fields
            if not (fit and field.get("computed"))
        ]

    def _service(self, body):
        body["service_id"] = service = self._random.choice(_SERVICES)
        if self._may(_SOMETIMES):
            body["params"] = {"pub_key": values.PUBLIC_KEY} if service == "ssh" else {}

    def _may(self, share):
        return self._random.random() < share
