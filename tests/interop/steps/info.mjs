// The life of a credential of the plugin info: requested, fetched once, listed, out of reach for others, revoked.

import assert from "node:assert/strict";

import { isOk, isRefused, obtain } from "../lib/expect.mjs";
import { step } from "../lib/report.mjs";

export async function info(stage) {
  const { alice, bob, carol } = stage;
  const made = await step("alice requests info and fetches what the provider says about her", async () => {
    const credential = await obtain(alice, "info");
    const { entries } = credential;
    assert.equal(entries.get("Subject"), "alice");
    assert.equal(entries.get("Issuer"), stage.main.issuer);
    assert.equal(entries.get("Claim groups"), "users\nadmins");
    assert.equal(entries.get("Claim email"), "alice@example.org");
    return credential;
  });
  await step("it can be fetched once only", async () => {
    isRefused(await alice.fetch(made.location), 404);
  });
  await step("it is in alice's list and in nobody else's", async () => {
    assert.deepEqual(await listed(alice), [made.id]);
    assert.deepEqual(await listed(bob), []);
  });
  await step("bob can neither fetch nor revoke what is alice's", async () => {
    const waiting = await alice.request("info");
    isRefused(await bob.fetch(waiting.location), 404);
    isRefused(await bob.revoke(made.id), 404);
    const { credential } = isOk(await alice.fetch(waiting.location));
    isOk(await alice.revoke(credential.id));
  });
  await step("the limit of two holds, and a revocation makes room", async () => {
    const second = await obtain(alice, "info");
    isRefused(await alice.request("info"), 400);
    isOk(await alice.revoke(second.id));
    const third = await obtain(alice, "info");
    isOk(await alice.revoke(third.id));
  });
  await step("carol, who is in no group that may, is refused", async () => {
    isRefused(await carol.request("info"), 400);
  });
  await step("the first protocol version does the same, with the issuer in a header", () => firstVersion(stage));
  return made;
}

async function firstVersion({ daemon, alice }) {
  const headers = { "X-OpenId-Connect-Issuer": "main" };
  const base = `${daemon.url}/api/v1`;
  const issued = await alice.call("POST", `${base}/credential`, { headers, body: { service_id: "info" } });
  assert.equal(issued.status, 303);
  // Go's client, which wattson is made with, repeats the content type when it follows a redirect.
  const repeated = { ...headers, "content-type": "application/json" };
  const [id, ...entries] = isOk(await alice.call("GET", issued.location, { headers: repeated }));
  assert.equal(id.name, "id");
  assert.equal(entries.find(({ name }) => name === "Subject").value, "alice");
  const { credential_list: list } = isOk(await alice.call("GET", `${base}/credential`, { headers }));
  assert.ok(list.some((entry) => entry.id.cred_id === id.value && entry.id.cred_state === "hidden"));
  assert.deepEqual(isOk(await alice.call("DELETE", `${base}/credential/${id.value}`, { headers })), { result: "ok" });
}

/** The ids of somebody's credentials of the service info. */
export async function listed(client) {
  const { credential_list: list } = isOk(await client.credentials());
  return list.filter(({ service_id }) => service_id === "info").map(({ cred_id }) => cred_id);
}
