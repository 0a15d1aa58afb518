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

  /** Ends it as an operator does, and returns its exit code. */
  stop() {
    return this.#process.stop();
  }

  /** Everything it has logged. */
  log() {
    return this.#process.said();
  }
}
