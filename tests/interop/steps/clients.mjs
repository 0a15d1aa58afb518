// The OpenAPI document as those read it who write clients: linters find nothing in it, and generators make clients that work.

import assert from "node:assert/strict";
import { join } from "node:path";

import { GENERATORS, makeClient, prepareClients } from "../lib/clients.mjs";
import { Demo } from "../lib/demo.mjs";
import { lint, LINTERS, prepareLinters } from "../lib/linters.mjs";
import { step } from "../lib/report.mjs";

/** How many generators run at the same time: each fills a core. */
const LANES = 2;
/** What each client's program prints: it lists services, gets a credential and revokes it, finds a company and reads a secret of it. */
const EXPECTED = { services: ["info", "ssh", "admins"], issued: true, revoked: "ok", company: "Acme Corp", revealed: true };

export async function clients({ program, directory }) {
  const demo = await Demo.create(program, join(directory, "clients.log"));
  await demo.start();
  const place = join(directory, "clients");
  await prepareClients(place, await demo.document());
  await lintDocument(place);
  await useClients(place, {
    CREDSMITH_URL: demo.url,
    CREDSMITH_ISSUER: "dev",
    CREDSMITH_TOKEN: await demo.providerToken("alice"),
    CREDSMITH_VAULT_TOKEN: await demo.vaultToken("alice"),
  });
  await step("their daemon met nothing unexpected, and ends in order", async () => {
    assert.equal(await demo.stop(), 0);
    assert.doesNotMatch(await demo.log(), /panicked/);
  });
}

async function lintDocument(place) {
  await prepareLinters(place);
  const linted = LINTERS.map((linter) => lint(place, linter));
  for (const [index, { code, report }] of (await Promise.all(linted)).entries()) {
    await step(`${LINTERS[index].name} finds nothing in the OpenAPI document`, async () => assert.equal(code, 0, report));
  }
}

async function useClients(place, asked) {
  const made = await inLanes(GENERATORS, (generator) => makeClient(place, generator, asked));
  for (const [index, { code, output, report }] of made.entries()) {
    await step(`a client that ${GENERATORS[index].name} makes compiles and works`, async () => {
      assert.equal(code, 0, report);
      assert.deepEqual(JSON.parse(output), EXPECTED);
    });
  }
}

// What `act` returns for each of `items`, of which at most so many are under way as there are lanes.
async function inLanes(items, act) {
  const results = [];
  const waiting = [...items.entries()];
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) results[next[0]] = await act(next[1]);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return results;
}
