// What the daemon must not have written.

import assert from "node:assert/strict";

import { step } from "../lib/report.mjs";

/** Stops the daemon, so that its log is complete, and looks through it. */
export async function silence({ daemon, clients, secrets: seen }) {
  await step("no token and no secret is in the daemon's log", async () => {
    await daemon.stop();
    const log = await daemon.log();
    assert.ok(log.includes("alice"), "the log does not even name alice");
    const secrets = [...seen, ...Object.values(clients).map(({ client_secret }) => client_secret)];
    assert.deepEqual(secrets.filter((secret) => log.includes(secret)), []);
  });
}
