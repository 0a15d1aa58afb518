// What answers of the daemon have to look like.

import assert from "node:assert/strict";

/** Success with a body. */
export function isOk(answer) {
  assert.equal(answer.status, 200, inspect(answer));
  return answer.body;
}

/** A no of the dialect: this status, and a sentence for the user, which is returned. */
export function isRefused(answer, status) {
  assert.equal(answer.status, status, inspect(answer));
  assert.deepEqual(Object.keys(answer.body).sort(), ["result", "user_msg"]);
  assert.equal(answer.body.result, "error");
  assert.ok(answer.body.user_msg.length > 0, "the refusal says nothing");
  return answer.body.user_msg;
}

/** The vault's envelope around this status; what is in it as data is returned. */
export function isEnvelope(answer, status) {
  assert.equal(answer.status, status, inspect(answer));
  assert.equal(answer.body.status, status);
  assert.equal(answer.body.successful, status < 400);
  return answer.body.data;
}

/** Requests a credential and fetches it: `{ id, location, entries }`, `entries` a map from names to values. */
export async function obtain(client, service, params) {
  const issued = await client.request(service, params);
  assert.equal(issued.status, 303, inspect(issued));
  const { credential } = isOk(await client.fetch(issued.location));
  const entries = new Map(credential.entries.map(({ name, value }) => [name, value]));
  return { id: credential.id, location: issued.location, entries };
}

function inspect(answer) {
  return JSON.stringify(answer);
}
