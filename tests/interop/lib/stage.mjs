// Everybody who takes part, not started yet: two providers, the daemon, sshd, and what is configured.

import { generateKeyPairSync } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { Daemon } from "./daemon.mjs";
import { client, Provider } from "./provider.mjs";
import { makeKey, Sshd } from "./sshd.mjs";
import { Vault } from "./vault.mjs";

/** How long certificates of the service `brief` are valid, in seconds: long enough to log in with one on a busy machine. */
const BRIEF = 20;

/** How long a spent refresh token still gets new tokens, in seconds: short enough to wait for its end. */
export const GRACE = 3;

/** `program` is the daemon's binary, `work` a directory of the run, `account` the one that sshd lets people in to. */
export async function prepare({ program, work, account }) {
  const directory = join(work, "private");
  await mkdir(directory, { mode: 0o700 });
  const log = join(directory, "providers.log");
  const daemon = await Daemon.create(program, directory);
  // People sign in with `credsmith`; `portal` is another site with the same users.
  const clients = {
    credsmith: client("credsmith", `${daemon.url}/v1/auth/redirect`),
    portal: client("portal"),
  };
  // At the provider `keyed` the daemon has a key in place of a secret, and people sign in with a site that is sent signed userinfo.
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = { ...publicKey.export({ format: "jwk" }), alg: "ES256", use: "sig", kid: "credsmith-1" };
  const keyed = {
    daemon: { ...client("credsmith"), client_secret: undefined, token_endpoint_auth_method: "private_key_jwt", jwks: { keys: [jwk] } },
    site: { ...client("signing"), userinfo_signed_response_alg: "RS256" },
  };
  const provider = (id, likeOthers) => Provider.create(id, { log, clients: Object.values(clients), likeOthers });

  const stage = {
    program,
    directory,
    clients,
    main: await provider("main", true),
    plain: await provider("plain", false),
    keyed: await Provider.create("keyed", { log, clients: Object.values(keyed), likeOthers: true }),
    keyedSite: keyed.site,
    daemon,
    vault: new Vault(daemon.url),
    cas: {
      ed25519: await makeKey(join(directory, "ca_ed25519"), "-t", "ed25519"),
      p256: await makeKey(join(directory, "ca_p256"), "-t", "ecdsa", "-b", "256", "-m", "PKCS8"),
    },
    sshd: new Sshd(join(work, "sshd"), account, ["alice"]),
    /** What must not be in its log: tokens that the daemon got to see or gave out, and values that were entrusted to it. */
    secrets: [],
  };
  const { client_id, client_secret } = clients.credsmith;
  await writeFile(join(directory, `${client_id}.secret`), client_secret, { mode: 0o600 });
  await writeFile(join(directory, "client.pem"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  await stage.daemon.configure(configuration(stage));
  return stage;
}

function configuration(stage) {
  return `
${provider(stage.main, stage.clients.credsmith, 'audience = ["credsmith"]\nprompt = "login"')}
${provider(stage.plain, stage.clients.credsmith, "any_audience = true")}
${bare(stage.keyed, stage.clients.credsmith, KEYED)}

[vault]
provider = "main"
refresh_grace = "${GRACE}s"
[roles.keeper]
permissions = ["company.*", "credential_type.*", "credential.*", "interop.*"]
assign = [{ provider = "main", claim = "groups", has = "admins" }]
[companies]
list = [{ id = 1, identifier = "acme", name = "Acme Corp" }]

[services.info]
description = "Shows who you are"
plugin = "bundled:info"
credential_limit = 2
allow = [{ provider = "any", claim = "groups", has = "users" }]

${certificates("ssh", stage.cas.ed25519, 'validity = "10m"')}
${certificates("ssh-p256", stage.cas.p256, 'validity = "10m"')}
${certificates("forced", stage.cas.ed25519, 'validity = "10m"\nforce_command = "echo forced"')}
${certificates("brief", stage.cas.ed25519, `validity = "${BRIEF}s"`)}
`;
}

const KEYED = `
audience = ["signing"]
client_auth = "private_key_jwt"
client_key = { file = "client.pem", id = "credsmith-1" }
`;

function provider(at, client, settings) {
  return bare(at, client, `client_secret = { file = "${client.client_id}.secret" }\n${settings}`);
}

function bare({ id, issuer }, { client_id }, settings) {
  return `
[providers.${id}]
description = "The provider ${id}"
issuer = "${issuer}"
allow_insecure_issuer = true
addresses = ["127.0.0.0/8"]
client_id = "${client_id}"
${settings}
`;
}

function certificates(id, ca, settings) {
  return `
[services.${id}]
description = "SSH certificates"
plugin = "bundled:ssh-ca"
allow = [{ provider = "main", claim = "groups", has = "users" }]
[services.${id}.settings]
ca_key = { file = "${ca}" }
principals = ["{preferred_username}"]
${settings}
`;
}
