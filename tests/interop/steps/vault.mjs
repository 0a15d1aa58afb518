// The vault: signed in to with a browser and a WebSocket, a secret entrusted to it and read back, sessions that end.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import { isEnvelope } from "../lib/expect.mjs";
import { step } from "../lib/report.mjs";
import { GRACE } from "../lib/stage.mjs";

const TYPES = "/credential-type/credential-types";
const CREDENTIALS = "/credential/credentials";

const TYPE = {
  name: "Router",
  permissionScope: "interop.router",
  icon: null,
  fields: [
    { id: "username", name: "User name", required: true, secure: false, valueType: "plain_text" },
    { id: "password", name: "Password", required: true, secure: true, valueType: "password" },
  ],
};

/** Returns where the secret is and what it is, for whoever looks later: `{ path, password }`. */
export async function vault(stage) {
  await sockets(stage);
  await foreignLink(stage);
  const tokens = await firstSignIn(stage);
  const kept = await keepSecret(stage, tokens);
  await rights(stage, kept);
  await rotation(stage, tokens);
  stage.inVault = await signInAgain(stage, kept);
  return kept;
}

/** After a restart of the daemon. */
export async function vaultAfterRestart(stage, kept) {
  await step("alice's session of the vault and her secret outlive the restart", () =>
    revealsTo(stage, stage.inVault, kept),
  );
}

async function sockets({ vault, daemon }) {
  await step("a page of another origin opens no socket, nor does anybody without a key; our own page does", async () => {
    const { callbackKey } = await vault.begin();
    const status = async (key, origin) => {
      const waiting = await vault.wait(key, { origin });
      waiting.leave?.();
      return waiting.status;
    };
    assert.equal(await status(callbackKey, "https://evil.example"), 403);
    assert.equal(await status(`ck${"0".repeat(32)}`), 404);
    assert.equal(await status(callbackKey, daemon.url), 101);
  });
}

async function foreignLink({ vault }) {
  await step("bob follows a link that is not his and says no: who waits gets nothing but that", async () => {
    const { uri, callbackKey } = await vault.begin();
    const waiting = await vault.wait(callbackKey);
    const { page } = await vault.browse(uri, "bob", "no");
    await isSafePage(page, 200);
    assert.equal(await waiting.end, 1000);
    const [{ event, data }] = waiting.events;
    assert.equal(event, "auth:error");
    assert.doesNotMatch(JSON.stringify(data), /bob/);
  });
}

async function firstSignIn(stage) {
  const { vault } = stage;
  const { uri, callbackKey } = await vault.begin();
  const waiting = await step("a client waits for alice at a WebSocket, and no second one can", async () => {
    const first = await vault.wait(callbackKey);
    assert.equal(first.status, 101);
    assert.equal((await vault.wait(callbackKey)).status, 409);
    return first;
  });
  const back = await step("alice signs in at the provider and says yes; her browser meets pages that are safe and empty of tokens", async () => {
    const { back, question, text, page } = await vault.browse(uri, "alice");
    await isSafePage(question, 200);
    assert.match(text, /the address 127\.0\.0\.1/);
    assert.match(text, new RegExp(`<strong>${codeOf(callbackKey)}</strong>`));
    assert.doesNotMatch(text, new RegExp(callbackKey));
    await isSafePage(page, 200);
    return back;
  });
  const tokens = await step("the client is sent her tokens, once, and the socket closes", async () => {
    assert.equal(await waiting.end, 1000);
    assert.equal(waiting.events.length, 1);
    const [{ event, data }] = waiting.events;
    assert.equal(event, "auth:callback");
    assert.deepEqual(Object.keys(data), ["accessToken", "refreshToken"]);
    return data;
  });
  stage.secrets.push(callbackKey, ...Object.values(tokens));
  await step("the address that her browser ended at is good for nothing any more, and the key neither", async () => {
    await isSafePage(await fetch(back, { headers: { accept: "text/html" } }), 400);
    assert.equal((await vault.wait(callbackKey)).status, 404);
  });
  return tokens;
}

// The code of a sign-in, as a client computes it: six letters of base32 (RFC 4648) of the SHA-256 of its key.
function codeOf(callbackKey) {
  const bits = createHash("sha256").update(callbackKey).digest().readUInt32BE(0).toString(2).padStart(32, "0");
  return bits.slice(0, 30).match(/.{5}/g).map((five) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[Number.parseInt(five, 2)]).join("");
}

// It runs what has its nonce and nothing else, tells nobody where it was, and is kept nowhere.
async function isSafePage(page, status) {
  const html = await page.text();
  assert.equal(page.status, status, html);
  const header = (name) => page.headers.get(name);
  assert.match(header("content-type"), /^text\/html/);
  assert.equal(header("referrer-policy"), "no-referrer");
  assert.equal(header("x-content-type-options"), "nosniff");
  assert.equal(header("cache-control"), "no-store");
  assert.equal(header("set-cookie"), null);
  const policy = new Map(header("content-security-policy").split("; ").map((line) => line.split(/ (.*)/)));
  const nonce = html.match(/<script nonce="([^"]+)">/)[1];
  assert.deepEqual([...html.matchAll(/<script/g)].length, 1);
  assert.equal(policy.get("default-src"), "'none'");
  assert.equal(policy.get("script-src"), `'nonce-${nonce}'`);
  assert.equal(policy.get("frame-ancestors"), "'none'");
  assert.doesNotMatch(html, /eyJ|accessToken/);
}

async function keepSecret(stage, { accessToken }) {
  const { vault } = stage;
  const call = (...args) => vault.call(accessToken, ...args);
  const type = await step("alice, who has a role by her group, makes a type of credential", async () => {
    assert.deepEqual(isEnvelope(await call("GET", "/user/@me"), 200).roles, ["keeper"]);
    const { id, plugin, ...made } = isEnvelope(await call("POST", TYPES, TYPE), 201);
    assert.deepEqual(made, TYPE);
    return id;
  });
  const kept = { password: `secret-${crypto.randomUUID()}` };
  stage.secrets.push(kept.password);
  await step("alice keeps a credential with a secure field", async () => {
    const [company] = isEnvelope(await call("GET", "/company/companies?search=acme"), 200);
    const fields = [
      { fieldId: "username", value: "root" },
      { fieldId: "password", value: kept.password },
    ];
    const sent = { name: "Core router", typeId: type, companyId: company.id, fields };
    const { id, ...made } = isEnvelope(await call("POST", CREDENTIALS, sent), 201);
    assert.deepEqual(made, { ...sent, fields: { username: "root" } });
    kept.path = `${CREDENTIALS}/${id}`;
  });
  await step("she sees it sealed where values are listed, and as it is where she asks for it", async () => {
    const values = isEnvelope(await call("GET", `${kept.path}/fields`), 200);
    const { username, password } = Object.fromEntries(values.map(({ fieldId, value }) => [fieldId, value]));
    assert.equal(username, "root");
    assert.doesNotMatch(Buffer.from(password, "base64").toString("latin1"), new RegExp(kept.password));
    await revealsTo(stage, { accessToken }, kept);
  });
  return kept;
}

async function revealsTo({ vault }, { accessToken }, { path, password }) {
  const answer = await vault.call(accessToken, "GET", `${path}/secure-values`);
  assert.deepEqual(isEnvelope(answer, 200), { password });
  assert.equal(answer.headers.get("cache-control"), "no-store");
}

async function rights(stage, { path }) {
  const { vault, daemon, main, alice } = stage;
  await step("bob, who has no role, signs in and sees nothing of it", async () => {
    const { accessToken, refreshToken } = await vault.signIn("bob");
    stage.secrets.push(accessToken, refreshToken);
    assert.deepEqual(isEnvelope(await vault.call(accessToken, "GET", "/user/@me"), 200).roles, []);
    for (const below of ["", "/fields", "/secure-values"]) {
      isEnvelope(await vault.call(accessToken, "GET", path + below), 403);
    }
    assert.equal((await daemon.client(main.id, accessToken).services()).status, 401);
  });
  await step("a token of the provider opens nothing of the vault", async () => {
    isEnvelope(await alice.call("GET", `${daemon.url}/v1${path}`), 401);
  });
}

async function rotation(stage, first) {
  const { vault } = stage;
  const second = await step("a refresh token is good for new tokens once", async () => {
    const tokens = isEnvelope(await vault.refresh(first.refreshToken), 201);
    stage.secrets.push(...Object.values(tokens));
    isEnvelope(await vault.call(tokens.accessToken, "GET", "/user/@me"), 200);
    return tokens;
  });
  await step("one that was just spent gets a pair of its own, since answers get lost", async () => {
    const tokens = isEnvelope(await vault.refresh(first.refreshToken), 201);
    stage.secrets.push(...Object.values(tokens));
    isEnvelope(await vault.call(tokens.accessToken, "GET", "/user/@me"), 200);
    isEnvelope(await vault.call(second.accessToken, "GET", "/user/@me"), 200);
  });
  await step("later one that was spent ends the session of whoever has the next", async () => {
    await pause((GRACE + 1) * 1000);
    isEnvelope(await vault.refresh(first.refreshToken), 401);
    isEnvelope(await vault.call(second.accessToken, "GET", "/user/@me"), 401);
    isEnvelope(await vault.refresh(second.refreshToken), 401);
  });
}

// Returns tokens of a session that goes on.
async function signInAgain(stage, kept) {
  const { vault } = stage;
  const enter = async () => {
    const tokens = await vault.signIn("alice");
    stage.secrets.push(...Object.values(tokens));
    return tokens;
  };
  await step("after a logout the tokens of the session are good for nothing", async () => {
    const { accessToken, refreshToken } = await enter();
    await revealsTo(stage, { accessToken }, kept);
    assert.equal(isEnvelope(await vault.call(accessToken, "POST", "/auth/logout"), 200), null);
    isEnvelope(await vault.call(accessToken, "GET", "/user/@me"), 401);
    isEnvelope(await vault.refresh(refreshToken), 401);
  });
  return enter();
}
