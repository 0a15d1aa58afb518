// Tokens that must open nothing.

import assert from "node:assert/strict";

import { isOk, isRefused, obtain } from "../lib/expect.mjs";
import { step } from "../lib/report.mjs";
import { revokeToken, signIn } from "../lib/sign-in.mjs";

export async function tokens(stage) {
  const { daemon, main, plain, clients } = stage;
  const at = (provider, token) => {
    if (token) stage.secrets.push(token);
    return daemon.client(provider.id, token);
  };
  const opensNothing = async (client) => {
    isRefused(await client.services(), 401);
    isRefused(await client.request("info"), 401);
  };

  await step("no token and a wrong one are refused", async () => {
    await opensNothing(at(main));
    await opensNothing(at(main, crypto.randomUUID()));
  });
  await step("a token that was made for another site is refused", async () => {
    await opensNothing(at(main, await signIn(main, clients.portal, "alice")));
  });
  await step("a token that was made for an API is refused", async () => {
    const bound = { scope: "openid read", resource: "urn:example:api" };
    await opensNothing(at(main, await signIn(main, clients.credsmith, "alice", bound)));
  });
  await step("a token that was revoked at the provider is refused", async () => {
    const token = await signIn(main, clients.credsmith, "alice");
    await revokeToken(main, clients.credsmith, token);
    await opensNothing(at(main, token));
  });
  await step("a token of one provider is refused at another", async () => {
    const token = await signIn(plain, clients.credsmith, "alice");
    await opensNothing(at(main, token));
    stage.aliceAtPlain = at(plain, token);
    isOk(await stage.aliceAtPlain.services());
  });
  await step("where any audience will do, oidc-provider as it comes is enough; its alice is another one", async () => {
    const client = at(plain, await signIn(plain, clients.portal, "alice"));
    const { id, entries } = await obtain(client, "info");
    assert.equal(entries.get("Issuer"), plain.issuer);
    isRefused(await stage.alice.revoke(id), 404);
    isOk(await client.revoke(id));
  });
}
