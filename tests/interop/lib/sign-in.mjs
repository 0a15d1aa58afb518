// Signs a person in: authorization code with PKCE. The client's part is the package openid-client, the browser's part is ours.

import * as openid from "openid-client";

import { Browser } from "./browser.mjs";

/** Where the clients of this run get their codes. Nothing listens there; the browser stops before it. */
export const REDIRECT_URI = "http://127.0.0.1/callback";

/**
 * Returns the access token of `account` at `provider`, as `client` gets it. openid-client checks state, nonce, issuer and the
 * signature of the ID token on the way.
 */
export async function signIn(provider, client, account, { scope = "openid profile email", resource } = {}) {
  const configuration = await discover(provider, client);
  const checks = {
    pkceCodeVerifier: openid.randomPKCECodeVerifier(),
    expectedState: openid.randomState(),
    expectedNonce: openid.randomNonce(),
  };
  const start = openid.buildAuthorizationUrl(configuration, {
    redirect_uri: REDIRECT_URI,
    scope,
    code_challenge: await openid.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
    code_challenge_method: "S256",
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    ...(resource && { resource }),
  });
  const fill = { login: account, password: "not looked at" };
  const end = await new Browser().goTo(start, { target: REDIRECT_URI, fill });
  const tokens = await openid.authorizationCodeGrant(configuration, end, checks, resource && { resource });
  if (tokens.claims().sub !== account) throw new Error(`signed in as ${tokens.claims().sub} instead of ${account}`);
  return tokens.access_token;
}

/** Tells the provider that `token` shall not be good any more (RFC 7009). */
export async function revokeToken(provider, client, token) {
  await openid.tokenRevocation(await discover(provider, client), token);
}

function discover(provider, client) {
  const options = { execute: [openid.allowInsecureRequests] };
  return openid.discovery(new URL(provider.issuer), client.client_id, client.client_secret, undefined, options);
}
