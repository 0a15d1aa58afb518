// Processes that the run starts, and ends again by their id.

import { spawn } from "node:child_process";
import { openSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const running = new Set();

// Whatever ends the run ends them too.
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.on(signal, () => process.exit(code));
}

/** A process that runs until it is stopped, with what it says in the file `log`. */
export class Running {
  #child;
  #ended;
  #output = "";

  /** `input` is written to standard input, which stays open. */
  constructor(name, command, args, { log, input }) {
    this.name = name;
    this.log = log;
    const file = openSync(log, "a", 0o600);
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", file] });
    running.add(this.#child);
    this.#ended = new Promise((resolve) => {
      const end = (outcome) => {
        running.delete(this.#child);
        resolve(outcome);
      };
      this.#child.once("error", (error) => end(error.message));
      this.#child.once("exit", (code, signal) => end(code ?? signal));
    });
    this.#child.stdout.on("data", (data) => {
      this.#output += data;
      writeSync(file, data);
    });
    this.#child.stdin.on("error", () => {});
    if (input) this.#child.stdin.write(input);
  }

  /** Waits for a line on standard output that `pattern` matches, and returns the match. */
  line(pattern) {
    return until(`${this.name} to say ${pattern}`, 60_000, async () => {
      const match = this.#output.match(pattern);
      if (match) return match;
      const ended = await Promise.race([this.#ended, sleep(0)]);
      if (ended !== undefined) throw new Error(`${this.name} ended early: ${ended}`);
      return undefined;
    });
  }

  /** Ends it by TERM, after 20 seconds by force, and returns its exit code or the signal. */
  async stop() {
    this.#child.kill("SIGTERM");
    const force = setTimeout(() => this.#child.kill("SIGKILL"), 20_000);
    const outcome = await this.#ended;
    clearTimeout(force);
    return outcome;
  }

  /** Everything it said so far. */
  said() {
    return readFile(this.log, "utf8");
  }
}

/** Runs a command to its end: `{ code, stdout, stderr }`. `options` are those of Node's `spawn`. */
export function run(command, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], timeout: 60_000, ...options });
    running.add(child);
    const result = { stdout: "", stderr: "" };
    child.stdout.on("data", (data) => (result.stdout += data));
    child.stderr.on("data", (data) => (result.stderr += data));
    child.once("error", reject);
    child.once("close", (code, signal) => {
      running.delete(child);
      resolve({ code: code ?? signal, ...result });
    });
  });
}

/** The same for a command that has to succeed; returns its standard output. */
export async function mustRun(command, args) {
  const { code, stdout, stderr } = await run(command, args);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} failed (${code}): ${stderr}`);
  return stdout;
}

/** Asks `probe` until it returns something, for at most `milliseconds`. */
export async function until(what, milliseconds, probe) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${milliseconds / 1000} s in vain for ${what}`);
    await sleep(50);
  }
}

/**
 * A loopback port that is free, below those that the system gives to outgoing connections, so that none of them takes it before it is
 * bound.
 */
export async function freePort() {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    if (await canBind(port)) return port;
  }
  throw new Error("no free loopback port");
}

function canBind(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
