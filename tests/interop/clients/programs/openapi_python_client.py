"""A client of openapi-python-client."""

import json
import os

from credsmith_client import AuthenticatedClient
from credsmith_client.api.company import list_companies
from credsmith_client.api.credential import list_credentials_of_company, reveal_secure_values
from credsmith_client.api.watts import list_services, request_credential, revoke_credential
from credsmith_client.models import WattsRequest

URL, ISSUER = os.environ["CREDSMITH_URL"], os.environ["CREDSMITH_ISSUER"]


def client(token: str) -> AuthenticatedClient:
    return AuthenticatedClient(base_url=URL, token=token, follow_redirects=True, raise_on_unexpected_status=True)


user = client(os.environ["CREDSMITH_TOKEN"])
services = list_services.sync(ISSUER, client=user)
wanted = WattsRequest.from_dict({"service_id": "info", "params": {}})
issued = request_credential.sync(ISSUER, client=user, body=wanted)
revoked = revoke_credential.sync(ISSUER, issued.credential.id, client=user)

member = client(os.environ["CREDSMITH_VAULT_TOKEN"])
company = list_companies.sync(client=member, search="acme").data[0]
credential = list_credentials_of_company.sync(company.id, client=member).data[0]
revealed = reveal_secure_values.sync(credential.id, client=member)
print(
    json.dumps(
        {
            "services": [service.id for service in services.service_list],
            "issued": len(issued.credential.id) > 0,
            "revoked": str(getattr(revoked.result, "value", revoked.result)),
            "company": company.name,
            "revealed": "demo-" in json.dumps(revealed.to_dict()),
        }
    )
)
