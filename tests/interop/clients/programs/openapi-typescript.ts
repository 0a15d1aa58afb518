// A client of openapi-typescript's types and openapi-fetch.
import createClient from "openapi-fetch";
import type { paths } from "./generated/schema.js";

const { CREDSMITH_URL: baseUrl, CREDSMITH_ISSUER: issuer = "", CREDSMITH_TOKEN, CREDSMITH_VAULT_TOKEN } = process.env;
const client = createClient<paths>({ baseUrl });
const user = { Authorization: `Bearer ${CREDSMITH_TOKEN}` };
const member = { Authorization: `Bearer ${CREDSMITH_VAULT_TOKEN}` };

const services = await client.GET("/api/v2/{issuer}/service", { params: { path: { issuer } }, headers: user });
const issued = await client.POST("/api/v2/{issuer}/credential", {
  params: { path: { issuer } },
  headers: user,
  body: { service_id: "info", params: {} },
});
const id = issued.data && "credential" in issued.data ? issued.data.credential.id : "";
const revoked = await client.DELETE("/api/v2/{issuer}/credential/{id}", { params: { path: { issuer, id } }, headers: user });

const companies = await client.GET("/v1/company/companies", { params: { query: { search: "acme" } }, headers: member });
const company = companies.data?.data[0];
const credentials = await client.GET("/v1/credential/credentials/company/{companyId}", {
  params: { path: { companyId: company?.id ?? "" } },
  headers: member,
});
const revealed = await client.GET("/v1/credential/credentials/{id}/secure-values", {
  params: { path: { id: credentials.data?.data[0]?.id ?? "" } },
  headers: member,
});
console.log(
  JSON.stringify({
    services: services.data?.service_list.map(({ id }) => id),
    issued: id.length > 0,
    revoked: revoked.data?.result,
    company: company?.name,
    revealed: JSON.stringify(revealed.data?.data ?? {}).includes("demo-"),
  }),
);
