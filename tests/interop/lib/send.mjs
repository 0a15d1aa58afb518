// One request of a client that follows no redirect.

/** Returns `{ status, location, headers, body }`; `body` is decoded JSON, and undefined where there is none. */
export async function send(method, url, { headers, body } = {}) {
  const answer = await fetch(url, {
    method,
    headers: { ...(body && { "content-type": "application/json" }), ...headers },
    body: body && JSON.stringify(body),
    redirect: "manual",
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  const { status, headers: answered } = answer;
  return { status, location: answered.get("location"), headers: answered, body: text ? JSON.parse(text) : undefined };
}
