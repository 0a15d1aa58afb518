// The daemon under a fuzzer that knows its OpenAPI document: nothing that is sent makes it fail, or answer what the document does not say.

import assert from "node:assert/strict";
import { join } from "node:path";

import { Demo } from "../lib/demo.mjs";
import { fuzz as run } from "../lib/fuzzer.mjs";
import { step } from "../lib/report.mjs";

/** One fuzzer each, with a daemon of its own, so that each can be repeated alone. */
const SEEDS = (process.env.FUZZ_SEEDS ?? "1 2").split(" ").map(Number);
/** At most so many drawn requests for each operation and seed: enough for the number below, and some more. */
const EXAMPLES = 320;
/** How many requests there have to be. */
const ENOUGH = 20_000;

/** Operations that have no good answer here: two need a web session, one a second provider, one speaks WebSocket, and one is a teapot. */
const NEVER_GOOD = [
  "GET /api/v1/access_token",
  "GET /api/v2/access_token",
  "GET /v1/auth/redirect/{provider}",
  "GET /v1/auth/socket",
  "GET /v1/teapot",
];

export async function fuzz({ program, directory }) {
  const rounds = await Promise.all(SEEDS.map((seed) => round(program, directory, seed)));
  await step(`a fuzzer finds no 5xx and no answer outside the OpenAPI document (seeds ${SEEDS.join(", ")})`, async () => {
    for (const { code, report } of rounds) assert.equal(code, 0, report);
  });
  const statuses = sum(rounds.map(({ statuses }) => statuses));
  const all = total(statuses);
  await step(`it sent ${all} requests: enough`, async () => assert.ok(all >= ENOUGH, JSON.stringify(statuses)));
  const [unauthorized, forbidden] = [statuses[401] ?? 0, statuses[403] ?? 0];
  await step(`${unauthorized} answers were 401 and ${forbidden} 403: fewer than half`, async () =>
    assert.ok(unauthorized > 0 && forbidden > 0 && unauthorized + forbidden < all / 2),
  );
  await step("every operation was answered well too", async () => {
    const operations = Object.entries(merged(rounds.map(({ operations }) => operations)));
    const bad = operations.filter(([, answers]) => !Object.keys(answers).some(isGood)).map(([name]) => name);
    assert.deepEqual(bad.sort(), NEVER_GOOD);
  });
  await step("the daemons outlived it, met nothing unexpected, and end in order", async () => {
    for (const { demo } of rounds) {
      assert.equal(await demo.stop(), 0);
      assert.doesNotMatch(await demo.log(), /panicked/);
    }
  });
}

async function round(program, directory, seed) {
  const demo = await Demo.create(program, join(directory, `fuzz-${seed}.log`));
  await demo.start();
  return { demo, ...(await run(demo, { seed, examples: EXAMPLES, tally: join(directory, `fuzz-${seed}.json`) })) };
}

// OPTIONS is answered with 204 wherever something lives.
function isGood(status) {
  return /^[23]/.test(status) && status !== "204";
}

function sum(counts) {
  const totals = {};
  for (const [key, count] of counts.flatMap(Object.entries)) totals[key] = (totals[key] ?? 0) + count;
  return totals;
}

function merged(byName) {
  const names = [...new Set(byName.flatMap(Object.keys))];
  return Object.fromEntries(names.map((name) => [name, sum(byName.map((counts) => counts[name] ?? {}))]));
}

function total(counts) {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}
