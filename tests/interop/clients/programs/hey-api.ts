// A client of @hey-api/openapi-ts, with fetch.
import { client } from "./generated/client.gen.js";
import {
  listCompanies,
  listCredentialsOfCompany,
  listServices,
  requestCredential,
  revealSecureValues,
  revokeCredential,
} from "./generated/sdk.gen.js";

const { CREDSMITH_URL: baseUrl, CREDSMITH_ISSUER: issuer = "", CREDSMITH_TOKEN, CREDSMITH_VAULT_TOKEN } = process.env;
client.setConfig({ baseUrl, throwOnError: true });
const user = { headers: { Authorization: `Bearer ${CREDSMITH_TOKEN}` } };
const member = { headers: { Authorization: `Bearer ${CREDSMITH_VAULT_TOKEN}` } };

const services = await listServices({ ...user, path: { issuer } });
const issued = await requestCredential({ ...user, path: { issuer }, body: { service_id: "info", params: {} } });
const id = issued.data && "credential" in issued.data ? issued.data.credential.id : "";
const revoked = await revokeCredential({ ...user, path: { issuer, id } });

const companies = await listCompanies({ ...member, query: { search: "acme" } });
const company = companies.data?.data[0];
const credentials = await listCredentialsOfCompany({ ...member, path: { companyId: company?.id ?? "" } });
const revealed = await revealSecureValues({ ...member, path: { id: credentials.data?.data[0]?.id ?? "" } });
console.log(
  JSON.stringify({
    services: services.data?.service_list.map(({ id }) => id),
    issued: id.length > 0,
    revoked: revoked.data?.result,
    company: company?.name,
    revealed: JSON.stringify(revealed.data?.data ?? {}).includes("demo-"),
  }),
);
