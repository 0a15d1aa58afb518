// The daemon under test: a process of its own with a configuration of its own, and a client that speaks to it as users do.

import { readFile, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";

import { freePort, mustRun, Running, until } from "./process.mjs";
import { send } from "./send.mjs";

export class Daemon {
  #program;
  #directory;
  #process;

  static async create(program, directory) {
    const daemon = new Daemon(program, directory, await freePort());
    await mustRun(program, ["key", "init", daemon.#path("kek")]);
    return daemon;
  }

  constructor(program, directory, port) {
    this.url = `http://127.0.0.1:${port}`;
    this.#program = program;
    this.#directory = directory;
  }

  /** Writes the configuration: what the daemon itself needs, and `sections`, TOML. */
  async configure(sections) {
    const own = `
[server]
public_url = "${this.url}"
listen = [{ address = "${new URL(this.url).host}" }]
[admin]
socket = "admin.sock"
[data]
directory = "data"
[keyring]
key = { file = "kek" }
[log]
format = "json"
`;
    await writeFile(this.#path("credsmith.toml"), own + sections, { mode: 0o600 });
    await mustRun(this.#program, ["check", "--config", this.#path("credsmith.toml")]);
  }

  async start() {
    const args = ["serve", "--config", this.#path("credsmith.toml")];
    this.#process = new Running("the daemon", this.#program, args, { log: this.#path("daemon.log") });
    const [, url] = await this.#process.line(/^ready (.*)$/m);
    if (url !== this.url) throw new Error(`the daemon serves ${url} instead of ${this.url}`);
  }

  /** Ends it as an operator does, and returns its exit code. */
  stop() {
    return this.#process.stop();
  }

  /** Everything it has logged. */
  log() {
    return readFile(this.#path("daemon.log"), "utf8");
  }

  /** A client: `token` is a bearer token of `provider`. */
  client(provider, token) {
    return new Client(this.url, provider, token);
  }

  /** Waits until `provider` is known to be ready. */
  async untilReady(provider) {
    const nobody = this.client(provider);
    await until(`the provider ${provider} to be ready`, 30_000, async () => (await nobody.providers()).get(provider));
  }

  /** What operators see at `path` of the admin socket: `{ status, body }`. */
  ask(path) {
    return new Promise((resolve, reject) => {
      const asking = request({ socketPath: this.#path("admin.sock"), path, headers: { host: "localhost" } }, (answer) => {
        let text = "";
        answer.on("data", (data) => (text += data));
        answer.on("end", () => resolve({ status: answer.statusCode, body: JSON.parse(text) }));
      });
      asking.on("error", reject);
      asking.end();
    });
  }

  #path(name) {
    return join(this.#directory, name);
  }
}

/** The calls of the WaTTS dialect. Each returns what `send` does. */
class Client {
  #base;
  #headers;

  constructor(url, provider, token) {
    this.#base = `${url}/api/v2`;
    this.provider = provider;
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  /** By id, whether the provider is ready. */
  async providers() {
    const { body } = await this.call("GET", `${this.#base}/oidcp`);
    return new Map(body.openid_provider_list.map(({ id, ready }) => [id, ready]));
  }

  services() {
    return this.call("GET", this.#path("service"));
  }

  credentials() {
    return this.call("GET", this.#path("credential"));
  }

  request(service, params = {}) {
    return this.call("POST", this.#path("credential"), { body: { service_id: service, params } });
  }

  fetch(location) {
    return this.call("GET", location);
  }

  revoke(credential) {
    return this.call("DELETE", this.#path(`credential/${credential}`));
  }

  /** Any request, with this client's token. */
  call(method, url, { body, headers } = {}) {
    return send(method, url, { headers: { ...this.#headers, ...headers }, body });
  }

  #path(rest) {
    return `${this.#base}/${this.provider}/${rest}`;
  }
}
