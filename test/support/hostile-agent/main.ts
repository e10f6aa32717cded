/** A process of its own: listens in the directory that it is told, at a socket for each attack, and says "ready". */
import { createServer } from "node:net";
import { join } from "node:path";
import { attacks } from "./attacks.js";
import { HostileConnection } from "./http2.js";

const directory = process.argv[2];
if (directory === undefined) throw new Error("no directory given");
for (const [at, attack] of Object.values(attacks).entries()) {
  const server = createServer((socket) => new HostileConnection(socket, attack));
  await new Promise<void>((resolve) => server.listen(join(directory, `${String(at)}.sock`), resolve));
}
process.send?.("ready");
process.on("disconnect", () => {
  process.exit();
});
