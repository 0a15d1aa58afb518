// An OpenID provider of this run, as a process that can be stopped and started again at the same address.

import { fileURLToPath } from "node:url";

import { freePort, Running } from "./process.mjs";
import { REDIRECT_URI } from "./sign-in.mjs";

const PROGRAM = fileURLToPath(new URL("../provider/provider.mjs", import.meta.url));

export class Provider {
  #options;
  #log;
  #process;

  /** `likeOthers`: whether it does what most providers do and oidc-provider by itself does not; the README tells what that is. */
  static async create(id, { log, clients, likeOthers }) {
    return new Provider(id, log, { port: await freePort(), clients, likeOthers });
  }

  constructor(id, log, options) {
    this.id = id;
    this.issuer = `http://127.0.0.1:${options.port}`;
    this.#log = log;
    this.#options = options;
  }

  async start() {
    const input = `${JSON.stringify(this.#options)}\n`;
    this.#process = new Running(`the provider ${this.id}`, process.execPath, [PROGRAM], { log: this.#log, input });
    await this.#process.line(/^ready (.*)$/m);
  }

  async stop() {
    await this.#process.stop();
  }
}

/** The registration of a client that people sign in with; `redirectUris` are those beside the usual one. */
export function client(id, ...redirectUris) {
  return { client_id: id, client_secret: `${id}-${crypto.randomUUID()}`, redirect_uris: [REDIRECT_URI, ...redirectUris] };
}
