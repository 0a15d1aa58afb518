// The vault's dialect as its clients speak it: a sign-in with a browser and a WebSocket, then calls with the token from there.

import assert from "node:assert/strict";

import { WebSocket } from "ws";

import { Browser } from "./browser.mjs";
import { send } from "./send.mjs";

export class Vault {
  #base;

  /** `url` is the daemon's. */
  constructor(url) {
    this.#base = `${url}/v1`;
  }

  /** Begins a sign-in: `{ uri, callbackKey }`. */
  async begin() {
    const { body } = await send("GET", `${this.#base}/auth/uri`);
    assert.equal(body.message, "Successfully fetch Auth URI");
    return body.data;
  }

  /**
   * Opens the socket at which a client waits: `{ status }` of the handshake where that is refused, and else also `events`, which grows,
   * `end`, which resolves to the code that the socket is closed with, and `leave`.
   */
  async wait(callbackKey, { origin } = {}) {
    const url = `${this.#base.replace("http", "ws")}/auth/socket?callbackKey=${callbackKey}`;
    const socket = new WebSocket(url, { origin, handshakeTimeout: 30_000 });
    const events = [];
    socket.on("message", (data, isBinary) => events.push(isBinary ? data : JSON.parse(data)));
    const end = new Promise((resolve) => socket.once("close", resolve));
    const status = await handshake(socket);
    if (status !== 101) return { status };
    return { status, events, end, leave: () => socket.close() };
  }

  /**
   * Goes through the provider's pages as `account` and opens the address at which they end. There the daemon asks whether the client may
   * have the tokens: `answer` is `yes` or `no`. Returns that address, the page that asks, its text, and the browser's last page.
   */
  async browse(uri, account, answer = "yes") {
    const browser = new Browser();
    const fill = { login: account, password: "not looked at" };
    const back = await browser.goTo(uri, { target: `${this.#base}/auth/redirect`, fill });
    const question = await browser.open(back);
    const text = await question.clone().text();
    return { back, question, text, page: await browser.submit(text, back, { answer }) };
  }

  /** All of it: the tokens of `account`. */
  async signIn(account) {
    const { uri, callbackKey } = await this.begin();
    const waiting = await this.wait(callbackKey);
    await this.browse(uri, account);
    await waiting.end;
    const [{ event, data }] = waiting.events;
    assert.equal(event, "auth:callback");
    return data;
  }

  /** New tokens for a refresh token. */
  refresh(refreshToken) {
    return send("POST", `${this.#base}/auth/refresh`, { headers: { "x-refresh-token": refreshToken } });
  }

  /** Any call, with an access token. */
  call(accessToken, method, path, body) {
    return send(method, `${this.#base}${path}`, { headers: { authorization: `Bearer ${accessToken}` }, body });
  }
}

// The status of the answer: 101 opens the socket.
function handshake(socket) {
  return new Promise((resolve, reject) => {
    socket.once("open", () => resolve(101));
    socket.once("unexpected-response", (_request, answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    socket.once("error", reject);
  });
}
