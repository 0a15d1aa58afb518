// schemathesis as a process: it reads the OpenAPI document of a daemon, and sends it what fits and what does not.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { run } from "./process.mjs";

const FILES = fileURLToPath(new URL("../fuzz/", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../.venv/bin/schemathesis", import.meta.url));
/** Far more than it needs, in milliseconds. */
const PATIENCE = 15 * 60_000;

/**
 * Runs it against `demo`, with all that is random drawn from `seed` and at most `examples` drawn requests for each operation. Returns
 * `{ code, report, statuses, operations }`: exit code 0 when nothing was found, what it says, and its answers counted by status, and by
 * operation and status. `tally` is a file for these.
 */
export async function fuzz(demo, { seed, examples, tally }) {
  const environment = {
    ...process.env,
    CREDSMITH_URL: demo.url,
    CREDSMITH_ISSUER: demo.issuer,
    FUZZ_SEED: String(seed),
    FUZZ_TALLY: tally,
    PYTHONPATH: FILES,
    PYTHONDONTWRITEBYTECODE: "1",
    SCHEMATHESIS_HOOKS: "hooks",
  };
  const args = ["--config-file", `${FILES}schemathesis.toml`, "run", `${demo.url}/openapi.json`];
  args.push("--seed", String(seed), "--max-examples", String(examples));
  const { code, stdout, stderr } = await run(PROGRAM, args, { env: environment, timeout: PATIENCE });
  const counted = await readFile(tally, "utf8").catch(() => '{"statuses":{},"operations":{}}');
  return { code, report: stdout + stderr, ...JSON.parse(counted) };
}
