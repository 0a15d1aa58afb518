// Certificates of the plugin ssh-ca, shown to a real sshd.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { isRefused, obtain } from "../lib/expect.mjs";
import { step } from "../lib/report.mjs";
import { makeKey } from "../lib/sshd.mjs";

const DENIED = /Permission denied \(publickey\)/;

/** Returns the certificate that will have expired soon. */
export async function ssh(stage) {
  const { sshd, alice, bob } = stage;
  const brief = await step("alice logs in with a certificate that ends soon", async () => {
    const certified = await certify(stage, alice, "brief", "-t", "ed25519");
    await logsIn(sshd, certified);
    return certified;
  });
  for (const [service, ca, name, ...kind] of [
    ["ssh", "ED25519", "an Ed25519", "-t", "ed25519"],
    ["ssh", "ED25519", "an RSA", "-t", "rsa", "-b", "2048"],
    ["ssh-p256", "ECDSA", "an ECDSA P-384", "-t", "ecdsa", "-b", "384"],
    ["ssh-p256", "ECDSA", "an Ed25519", "-t", "ed25519"],
  ]) {
    await step(`alice logs in with ${name} key that the ${ca} CA signed, and sshd logs our id`, async () => {
      const certified = await certify(stage, alice, service, ...kind);
      const log = await logsIn(sshd, certified);
      const line = `ID ${certified.id} alice (serial ${certified.entries.get("Serial")}) CA ${ca} `;
      assert.ok(log.includes(line), `expected ${line} in ${log}`);
    });
  }
  await step("with a forced command, nothing else runs", async () => {
    const certified = await certify(stage, alice, "forced", "-t", "ed25519");
    const result = await sshd.logIn(certified, "id -un");
    assert.deepEqual([result.code, result.stdout], [0, "forced\n"], result.stderr);
  });
  await step("bob's certificate does not open the account that alice's opens", async () => {
    const certified = await certify(stage, bob, "ssh", "-t", "ed25519");
    assert.equal(certified.entries.get("Principals"), "bob");
    await isShutOut(sshd, certified, /Certificate does not contain an authorized principal/);
  });
  await step("a key without its certificate opens nothing", async () => {
    const { key } = await certify(stage, alice, "ssh", "-t", "ed25519");
    await isShutOut(sshd, { key }, /Failed publickey/);
  });
  await step("a private key, an empty key and a weak one are refused with a sentence", async () => {
    const key = await makeKey(join(stage.directory, "weak"), "-t", "rsa", "-b", "1024");
    for (const [text, expected] of [
      [await readFile(key, "utf8"), /private key/],
      ["", /empty/],
      [await readFile(`${key}.pub`, "utf8"), /1024 bits/],
    ]) {
      assert.match(isRefused(await alice.request("ssh", { pub_key: text }), 400), expected);
    }
  });
  return brief;
}

export async function expiry({ sshd }, certified) {
  await step("the certificate that ended opens nothing any more", async () => {
    const end = Date.parse(certified.entries.get("Valid until"));
    await sleep(Math.max(0, end - Date.now()) + 1000);
    await isShutOut(sshd, certified, /Certificate invalid: expired/);
  });
}

let keys = 0;

// Makes a key pair and has it certified, as a user would.
async function certify(stage, client, service, ...kind) {
  keys += 1;
  const key = await makeKey(join(stage.directory, `user_key_${keys}`), ...kind);
  const made = await obtain(client, service, { pub_key: await readFile(`${key}.pub`, "utf8") });
  // Under the usual name, `-cert.pub`, ssh would take it up without being told.
  const certificate = `${key}.certificate`;
  await writeFile(certificate, made.entries.get("Certificate"));
  return { ...made, key, certificate };
}

async function logsIn(sshd, certified) {
  const result = await sshd.logged(/Accepted publickey/, () => sshd.logIn(certified, "id -un"));
  assert.deepEqual([result.code, result.stdout], [0, `${sshd.account}\n`], result.stderr);
  return result.log;
}

// The server's own words say that it was for this reason, and no other.
async function isShutOut(sshd, certified, reason) {
  const result = await sshd.logged(reason, () => sshd.logIn(certified, "id -un"));
  assert.notEqual(result.code, 0);
  assert.equal(result.stdout, "");
  assert.match(result.stderr, DENIED);
}
