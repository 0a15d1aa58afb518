// `credsmith dev`: the daemon with a demo provider that signs people in without a page.

import { freePort, Running } from "./process.mjs";

export class Demo {
  #program;
  #log;
  #process;

  static async create(program, log) {
    return new Demo(program, log, await freePort(), await freePort());
  }

  constructor(program, log, port, providerPort) {
    this.url = `http://127.0.0.1:${port}`;
    this.issuer = `http://127.0.0.1:${providerPort}`;
    this.#program = program;
    this.#log = log;
  }

  async start() {
    const at = (url) => new URL(url).host;
    const args = ["dev", "--listen", at(this.url), "--provider-listen", at(this.issuer)];
    this.#process = new Running("credsmith dev", this.#program, args, { log: this.#log });
    await this.#process.line(/^ready (.*)$/m);
  }

  /** Its OpenAPI document, as text. */
  document() {
    return read(`${this.url}/openapi.json`);
  }

  /** An access token of the demo provider for `account`, for the WaTTS dialect. */
  async providerToken(account) {
    return (await read(`${this.issuer}/dev/token?user=${account}`)).trim();
  }

  /** An access token of the vault for `account`: the demo provider answers without a page to a browser that says who it is. */
  async vaultToken(account) {
    const { data } = JSON.parse(await read(`${this.url}/v1/auth/uri`));
    return JSON.parse(await read(`${data.uri}&login_hint=${account}`)).data.accessToken;
  }

  /** Ends it as an operator does, and returns its exit code. */
  stop() {
    return this.#process.stop();
  }

  /** Everything it has logged. */
  log() {
    return this.#process.said();
  }
}

async function read(url) {
  const answer = await fetch(url, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(30_000) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`GET ${url} was answered with ${answer.status}: ${text}`);
  return text;
}
