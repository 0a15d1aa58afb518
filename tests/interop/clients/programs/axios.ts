// A client of openapi-generator's `typescript-axios`.
import { CompanyApi, Configuration, CredentialApi, WattsApi } from "./generated/index.js";

const { CREDSMITH_URL: basePath, CREDSMITH_ISSUER: issuer = "", CREDSMITH_TOKEN, CREDSMITH_VAULT_TOKEN } = process.env;
const watts = new WattsApi(new Configuration({ basePath, accessToken: CREDSMITH_TOKEN }));
const vault = new Configuration({ basePath, accessToken: CREDSMITH_VAULT_TOKEN });

const services = await watts.listServices(issuer);
const issued = await watts.requestCredential(issuer, { service_id: "info", params: {} });
const id = "credential" in issued.data ? issued.data.credential.id : "";
const revoked = await watts.revokeCredential(issuer, id);

const companies = await new CompanyApi(vault).listCompanies(undefined, undefined, "acme");
const company = companies.data.data[0];
const credentials = await new CredentialApi(vault).listCredentialsOfCompany(company?.id ?? "");
const revealed = await new CredentialApi(vault).revealSecureValues(credentials.data.data[0]?.id ?? "");
console.log(
  JSON.stringify({
    services: services.data.service_list.map(({ id }) => id),
    issued: id.length > 0,
    revoked: revoked.data.result,
    company: company?.name,
    revealed: JSON.stringify(revealed.data.data).includes("demo-"),
  }),
);
