// Generators of clients as processes: each makes a client of the OpenAPI document, and a program of `clients/programs` uses it.

import { copyFile, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

import { run } from "./process.mjs";

const CLIENTS = fileURLToPath(new URL("../clients/", import.meta.url));
const PROGRAMS = join(CLIENTS, "programs");
const PYTHON = join(CLIENTS, ".venv", "bin");
/** Far more than one command needs, in milliseconds. */
const PATIENCE = 3 * 60_000;
/** The document's name, in the directory that those of the clients are in. */
const DOCUMENT = "openapi.json";
/** Of openapi-generator, beside it. */
const JAR = "openapi-generator.jar";
/** Of openapi-generator: the client alone, without tests and documentation of its own. */
const CLIENT_ALONE = "apiTests=false,modelTests=false,apiDocs=false,modelDocs=false,apis,models,supportingFiles";

/**
 * How clients are made. Each: `name`; `files`, those of `clients/programs` that are copied, and their names there; `commands`, which run
 * one after the other in the client's directory, the program last; `environment`, what the commands need besides.
 */
export const GENERATORS = [
  python("openapi-python-client", "credsmith_client", "openapi_python_client.py", [
    join(PYTHON, "openapi-python-client"),
    ...["generate", "--fail-on-warning", "--path", `../${DOCUMENT}`, "--output-path", "generated"],
  ]),
  python("openapi-generator python", "openapi_client", "openapi_generator.py", openapiGenerator("python", "generated")),
  typescript("openapi-typescript", { "openapi-typescript.ts": "main.ts" }, [
    npm("openapi-typescript"),
    // Not `.d.ts`: the compiler does not look into those.
    ...[`../${DOCUMENT}`, "--output", "generated/schema.ts"],
  ]),
  typescript("@hey-api/openapi-ts", { "hey-api.ts": "main.ts", "openapi-ts.config.mjs": "openapi-ts.config.mjs" }, [
    npm("openapi-ts"),
    ...["--file", "openapi-ts.config.mjs", "--no-log-file"],
  ]),
  typescript(
    "openapi-generator typescript-axios",
    { "axios.ts": "main.ts" },
    openapiGenerator("typescript-axios", "generated", "importFileExtension=.js"),
  ),
  {
    name: "openapi-generator go",
    files: { "main.go": "main.go", "go.mod": "go.mod" },
    commands: [
      openapiGenerator("go", "client", "packageName=credsmith"),
      // The client is a package of the program's module, so that nothing has to be fetched.
      ["rm", "client/go.mod", "client/go.sum"],
      ["go", "build", "-o", "program", "."],
      ["./program"],
    ],
    environment: { GOFLAGS: "-mod=mod", GOPROXY: "off", GOTOOLCHAIN: "local", GOENV: "off" },
  },
];

/** Makes a directory in which clients can be made of `document`. */
export async function prepareClients(directory, document) {
  await mkdir(directory);
  await writeFile(join(directory, DOCUMENT), document);
  await copyFile(join(PROGRAMS, "package.json"), join(directory, "package.json"));
  await symlink(join(CLIENTS, "node_modules"), join(directory, "node_modules"));
  await symlink(await openapiGeneratorJar(), join(directory, JAR));
}

/**
 * Makes a client in `directory`, compiles it and runs its program, whose environment `asked` says where the daemon is and who asks. Returns
 * `{ code, output, report }`: the exit code of the last command that ran, what that one printed, and everything that was said.
 */
export async function makeClient(directory, { name, files, commands, environment }, asked) {
  const place = join(directory, name.replaceAll(/[^a-z]+/g, "-"));
  await mkdir(place);
  for (const [from, to] of Object.entries(files)) await copyFile(join(PROGRAMS, from), join(place, to));
  // openapi-python-client tidies up with a program that is found there.
  const path = [PYTHON, process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: path, GOCACHE: join(directory, "go-cache"), ...environment, ...asked };
  const said = [];
  let ended;
  for (const [command, ...args] of commands) {
    ended = await run(command, args, { cwd: place, env, timeout: PATIENCE });
    said.push(`$ ${command} ${args.join(" ")}`, ended.stdout, ended.stderr);
    if (ended.code !== 0) break;
  }
  return { code: ended.code, output: ended.stdout, report: said.join("\n") };
}

function python(name, imported, program, generate) {
  const interpreter = join(PYTHON, "python");
  return {
    name,
    files: { [program]: "main.py", "import_all.py": "import_all.py" },
    commands: [generate, [interpreter, "import_all.py", imported], [interpreter, "main.py"]],
    environment: { PYTHONPATH: "generated", PYTHONDONTWRITEBYTECODE: "1" },
  };
}

function typescript(name, files, generate) {
  return {
    name,
    files: { "tsconfig.json": "tsconfig.json", ...files },
    commands: [generate, [npm("tsc"), "--project", "."], [process.execPath, "out/main.js"]],
    environment: {},
  };
}

function npm(program) {
  return join(CLIENTS, "node_modules", ".bin", program);
}

// Java itself, and not the package's program around it, which would leave Java behind when it is ended.
function openapiGenerator(language, output, properties = "") {
  const args = ["generate", "-i", `../${DOCUMENT}`, "-g", language, "-o", output, "--global-property", CLIENT_ALONE];
  return ["java", "-jar", `../${JAR}`, ...args, ...(properties && ["--additional-properties", properties])];
}

async function openapiGeneratorJar() {
  const libraries = join(CLIENTS, ".venv", "lib");
  const [version] = await readdir(libraries);
  return join(libraries, version, "site-packages", "openapi_generator_cli", "openapi-generator.jar");
}
