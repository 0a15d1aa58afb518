// A process that is one OpenID provider: the package oidc-provider on a loopback port.
//
// Reads one line of JSON from standard input, `{ port, clients, likeOthers }`, and prints `ready ISSUER` once it serves. It ends
// with its standard input, so that it never outlives the run that started it.

import { generateKeyPairSync } from "node:crypto";
import { createInterface } from "node:readline";
import { Provider } from "oidc-provider";

import { claimsByScope, findAccount } from "./accounts.mjs";

const input = createInterface({ input: process.stdin });
input.once("line", (line) => serve(JSON.parse(line)));
input.once("close", () => process.exit(0));

function serve({ port, clients, likeOthers }) {
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, configuration(clients, likeOthers));
  if (likeOthers) nameAudience(provider);
  provider.listen(port, "127.0.0.1", () => console.log(`ready ${issuer}`));
}

function configuration(clients, likeOthers) {
  return {
    clients,
    findAccount,
    claims: claimsByScope,
    jwks: { keys: [signingKey()] },
    cookies: { keys: [crypto.randomUUID()] },
    pkce: { required: () => true },
    // Most providers put the claims of the scopes into the ID token too, and from there the vault takes the roles of people.
    conformIdTokenClaims: !likeOthers,
    features: {
      devInteractions: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      userinfo: { enabled: true },
      jwtUserinfo: { enabled: true },
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
    },
  };
}

function signingKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig", kid: crypto.randomUUID() };
}

// Tokens for an API are JWTs with its name as their audience, as RFC 9068 wants it.
function resourceServer(_context, resource) {
  return { scope: "read", audience: resource, accessTokenFormat: "jwt" };
}

// The token of a plain sign-in has no audience here: oidc-provider's userinfo refuses all others. Other providers name the client that
// the token was made for when it is introspected; this makes oidc-provider one of them.
function nameAudience(provider) {
  provider.use(async (context, next) => {
    await next();
    if (context.oidc?.route === "introspection" && context.body?.active) {
      context.body.aud ??= context.body.client_id;
    }
  });
}
