// A provider that goes away and comes back; a daemon that is stopped and started.

import assert from "node:assert/strict";

import { isOk, isRefused } from "../lib/expect.mjs";
import { step } from "../lib/report.mjs";
import { listed } from "./info.mjs";
import { enter } from "./start.mjs";

/** What a client may have to wait while its provider is down, in milliseconds. */
const SOON = 5_000;

export async function providerOutage(stage) {
  const { main } = stage;
  await step("while a provider is down, new tokens of it are answered 503 soon and the other provider's work", async () => {
    const fresh = await enter(stage, "alice");
    await main.stop();
    const begun = performance.now();
    isRefused(await fresh.services(), 503);
    const took = performance.now() - begun;
    assert.ok(took < SOON, `it took ${took} ms`);
    isOk(await stage.aliceAtPlain.services());
  });
  await step("once it is back, people sign in and work again", async () => {
    await main.start();
    stage.alice = await enter(stage, "alice");
    isOk(await stage.alice.services());
  });
}

export async function restart({ daemon, alice }, info) {
  await step("the daemon ends in order at TERM", async () => {
    assert.equal(await daemon.stop(), 0);
  });
  await step("after a restart it still knows alice's credential", async () => {
    await daemon.start();
    await daemon.untilReady("main");
    assert.deepEqual(await listed(alice), [info.id]);
  });
  await step("alice revokes it; then it is gone", async () => {
    assert.deepEqual(isOk(await alice.revoke(info.id)), { result: "ok" });
    assert.deepEqual(await listed(alice), []);
    isRefused(await alice.revoke(info.id), 404);
  });
}
