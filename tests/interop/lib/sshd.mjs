// OpenSSH's server and client on loopback: the server admits nobody but holders of certificates of the given CAs.

import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { freePort, mustRun, run, Running, until } from "./process.mjs";

// sshd insists on being started by an absolute path.
const SSHD = "/usr/sbin/sshd";

/** Makes a key pair without a passphrase and returns the path of its private half. */
export async function makeKey(path, ...options) {
  await mustRun("ssh-keygen", ["-q", "-N", "", "-C", "", "-f", path, ...options]);
  return path;
}

export class Sshd {
  #directory;
  #process;

  /** `account` is the one that can be logged in to, by certificates that name one of `principals`. */
  constructor(directory, account, principals) {
    this.account = account;
    this.principals = principals;
    this.#directory = directory;
  }

  async start({ trustedCas }) {
    await mkdir(this.#path("principals"), { recursive: true });
    this.port = await freePort();
    const hostKey = await makeKey(this.#path("host_key"), "-t", "ed25519");
    const cas = await Promise.all(trustedCas.map((key) => readFile(`${key}.pub`, "utf8")));
    await writeFile(this.#path("trusted_cas"), cas.join(""));
    await writeFile(this.#path("principals", this.account), `${this.principals.join("\n")}\n`);
    const hostLine = await readFile(`${hostKey}.pub`, "utf8");
    await writeFile(this.#path("known_hosts"), `[127.0.0.1]:${this.port} ${hostLine}`);
    const configuration = this.#path("sshd_config");
    await writeFile(configuration, this.#configuration(hostKey));
    const effective = await mustRun(SSHD, ["-T", "-f", configuration]);
    // Since 9.8 a server shuts out clients that fail, which they do here on purpose; before, it does not know the word.
    if (effective.includes("persourcepenalties")) await appendFile(configuration, "PerSourcePenalties no\n");
    this.#process = new Running("sshd", SSHD, ["-D", "-e", "-f", configuration], { log: this.#path("sshd.log") });
    await until("sshd to listen", 30_000, async () => (await this.log()).includes("Server listening"));
  }

  // StrictModes would refuse the principals file, since everybody may make files in the directory above the run's own.
  #configuration(hostKey) {
    return `
ListenAddress 127.0.0.1:${this.port}
HostKey ${hostKey}
PidFile none
LogLevel VERBOSE
UsePAM no
StrictModes no
AllowUsers ${this.account}
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile none
TrustedUserCAKeys ${this.#path("trusted_cas")}
AuthorizedPrincipalsFile ${this.#path("principals")}/%u
DisableForwarding yes
PrintMotd no
PrintLastLog no
`;
  }

  /** What the server has logged so far. */
  log() {
    return this.#process.said();
  }

  /** Logs in with a key, and with a certificate where there is one, and runs `command`: `{ code, stdout, stderr }`. */
  async logIn({ key, certificate }, command) {
    const options = {
      BatchMode: "yes",
      ConnectTimeout: "20",
      IdentitiesOnly: "yes",
      IdentityAgent: "none",
      StrictHostKeyChecking: "yes",
      UserKnownHostsFile: this.#path("known_hosts"),
      GlobalKnownHostsFile: "none",
      ...(certificate && { CertificateFile: certificate }),
    };
    const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    const to = ["-p", String(this.port), `${this.account}@127.0.0.1`, command];
    return run("ssh", ["-F", "none", "-T", "-i", key, ...flags, ...to]);
  }

  /** Runs `act` and returns its result and what the server logged meanwhile, as soon as `pattern` is in it. */
  async logged(pattern, act) {
    const before = (await this.log()).length;
    const result = await act();
    const news = async () => (await this.log()).slice(before);
    const log = await until(`sshd to log ${pattern}; ssh said: ${result.stderr}`, 10_000, async () => {
      const text = await news();
      return pattern.test(text) && text;
    });
    return { ...result, log };
  }

  #path(...parts) {
    return join(this.#directory, ...parts);
  }
}
