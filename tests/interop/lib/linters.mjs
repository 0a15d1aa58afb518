// Linters of OpenAPI documents as processes, each with its rules of `clients/linters`.

import { cp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { run } from "./process.mjs";

const CLIENTS = fileURLToPath(new URL("../clients/", import.meta.url));
/** Far more than they need, in milliseconds. */
const PATIENCE = 60_000;

/** The linters: `name`, and the command, which fails for whatever it reports. */
export const LINTERS = [
  { name: "redocly", args: ["lint", "--config", "redocly.yaml", "--lint-config", "error", "--format", "json", "openapi.json"] },
  { name: "spectral", args: ["lint", "--ruleset", ".spectral.yaml", "--fail-severity", "hint", "openapi.json"] },
];

/** Puts the rules into the directory of `openapi.json`: both linters take the places in their rules relative to the rules' own. */
export function prepareLinters(directory) {
  return cp(join(CLIENTS, "linters"), directory, { recursive: true });
}

/** Looks at `openapi.json` of `directory`: `{ code, report }`, the exit code 0 when nothing was found, and what was said. */
export async function lint(directory, { name, args }) {
  const silent = { REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" };
  const program = join(CLIENTS, "node_modules", ".bin", name);
  const options = { cwd: directory, env: { ...process.env, ...silent }, timeout: PATIENCE };
  const { code, stdout, stderr } = await run(program, args, options);
  return { code, report: stdout + stderr };
}
