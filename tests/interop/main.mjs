// Credsmith among real peers: a client that signs in, requests, uses and revokes. `run` prepares the machine and calls this with the
// daemon's binary, a directory and the account of sshd; start reading there.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { close } from "./lib/report.mjs";
import { prepare } from "./lib/stage.mjs";
import { clients } from "./steps/clients.mjs";
import { fuzz } from "./steps/fuzz.mjs";
import { info } from "./steps/info.mjs";
import { keyed } from "./steps/keyed.mjs";
import { providerOutage, restart } from "./steps/outages.mjs";
import { silence } from "./steps/silence.mjs";
import { expiry, ssh } from "./steps/ssh.mjs";
import { signEverybodyIn, start } from "./steps/start.mjs";
import { tokens } from "./steps/tokens.mjs";
import { vault, vaultAfterRestart } from "./steps/vault.mjs";

const [program, work, account] = process.argv.slice(2);

try {
  const stage = await prepare({ program, work, account });
  await start(stage);
  await signEverybodyIn(stage);
  const brief = await ssh(stage);
  const made = await info(stage);
  await tokens(stage);
  await keyed(stage);
  const kept = await vault(stage);
  await providerOutage(stage);
  await restart(stage, made);
  await vaultAfterRestart(stage, kept);
  await expiry(stage, brief);
  await silence(stage);
  await clients(stage);
  await fuzz(stage);
  close({ failed: 0 });
  process.exit(0);
} catch (error) {
  console.error(error);
  await showLogs();
  close({ failed: 1 });
  process.exit(1);
}

async function showLogs() {
  for (const directory of ["private", "sshd"]) {
    const names = await readdir(join(work, directory)).catch(() => []);
    for (const name of names.filter((name) => name.endsWith(".log"))) {
      const lines = (await readFile(join(work, directory, name), "utf8")).trimEnd().split("\n");
      console.error(`\n== the end of ${name}\n${lines.slice(-25).join("\n")}`);
    }
  }
}
