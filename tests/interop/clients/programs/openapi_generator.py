"""A client of openapi-generator's `python`."""

import json
import os

import openapi_client
from openapi_client import CompanyApi, CredentialApi, WattsApi, WattsRequest

URL, ISSUER = os.environ["CREDSMITH_URL"], os.environ["CREDSMITH_ISSUER"]


def client(token: str) -> openapi_client.ApiClient:
    return openapi_client.ApiClient(openapi_client.Configuration(host=URL, access_token=token))


watts = WattsApi(client(os.environ["CREDSMITH_TOKEN"]))
services = watts.list_services(ISSUER)
issued = watts.request_credential(ISSUER, WattsRequest(service_id="info", params={}))
credential_id = issued.actual_instance.credential.id
revoked = watts.revoke_credential(ISSUER, credential_id)

member = client(os.environ["CREDSMITH_VAULT_TOKEN"])
company = CompanyApi(member).list_companies(search="acme").data[0]
credential = CredentialApi(member).list_credentials_of_company(company.id).data[0]
revealed = CredentialApi(member).reveal_secure_values(credential.id)
print(
    json.dumps(
        {
            "services": [service.id for service in services.service_list],
            "issued": len(credential_id) > 0,
            "revoked": revoked.result,
            "company": company.name,
            "revealed": "demo-" in revealed.to_json(),
        }
    )
)
