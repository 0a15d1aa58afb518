// Starts everything, one provider late on purpose, and signs everybody in.

import assert from "node:assert/strict";

import { isOk } from "../lib/expect.mjs";
import { step } from "../lib/report.mjs";
import { signIn } from "../lib/sign-in.mjs";

export async function start(stage) {
  const { daemon, main, plain, keyed, sshd, cas } = stage;
  await step("oidc-provider starts", () => Promise.all([plain.start(), keyed.start()]));
  await step("the daemon starts and serves one provider while the other one is down", async () => {
    await daemon.start();
    await daemon.untilReady("plain");
    await daemon.untilReady("keyed");
    assert.equal((await daemon.client("main").providers()).get("main"), false);
  });
  await step("operators see by the admin socket that it is ready and what is missing", async () => {
    const { status, body } = await daemon.ask("/readyz");
    assert.equal(status, 200);
    assert.equal(body.ready, true);
    assert.match(body.warnings.join("\n"), /main/);
  });
  await step("a provider that starts later is found", async () => {
    await main.start();
    await daemon.untilReady("main");
  });
  await step("sshd starts, trusting both CA keys of the daemon", () =>
    sshd.start({ trustedCas: [cas.ed25519, cas.p256] }),
  );
}

export async function signEverybodyIn(stage) {
  for (const person of ["alice", "bob", "carol"]) {
    stage[person] = await step(`${person} signs in with an authorization code and PKCE`, () => enter(stage, person));
  }
  await step("alice, who is in the group users, is offered every service", async () => {
    assert.deepEqual(await authorized(stage.alice), { brief: true, forced: true, info: true, ssh: true, "ssh-p256": true });
  });
  await step("carol, who is not, may use none", async () => {
    assert.deepEqual(new Set(Object.values(await authorized(stage.carol))), new Set([false]));
  });
}

/** A client with a fresh token of `person` at the provider main. */
export async function enter(stage, person) {
  const token = await signIn(stage.main, stage.clients.credsmith, person);
  stage.secrets.push(token);
  return stage.daemon.client("main", token);
}

async function authorized(client) {
  const { service_list: services } = isOk(await client.services());
  return Object.fromEntries(services.map(({ id, authorized, enabled }) => [id, authorized && enabled]).sort());
}
