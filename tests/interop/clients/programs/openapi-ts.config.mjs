// How @hey-api/openapi-ts makes a client that Node.js can load as it is compiled: imports name files with their endings.
export default {
  input: "../openapi.json",
  output: { path: "generated", module: { extension: ".js" } },
};
