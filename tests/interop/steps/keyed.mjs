// A provider at which the daemon proves itself by a key (private_key_jwt), and whose userinfo answers are signed.

import { isOk, isRefused } from "../lib/expect.mjs";
import { step } from "../lib/report.mjs";
import { revokeToken, signIn } from "../lib/sign-in.mjs";

export async function keyed({ keyed: provider, keyedSite: site, daemon, secrets }) {
  const token = await signIn(provider, site, "alice");
  secrets.push(token);
  await step("oidc-provider introspects for the daemon's key, and its signed userinfo is believed", async () => {
    isOk(await daemon.client("keyed", token).services());
  });
  await step("it says of a revoked token that it is not active, and the token is refused", async () => {
    const revoked = await signIn(provider, site, "bob");
    await revokeToken(provider, site, revoked);
    isRefused(await daemon.client("keyed", revoked).services(), 401);
  });
}
