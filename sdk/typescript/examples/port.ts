/** A port of a sandbox as one of this machine. */
import { createConnection } from "node:net";
import { once } from "node:events";
import { Sandbox } from "a3s-box-sdk";

const sandbox = await Sandbox.create();
try {
  await sandbox.commands.start("while :; do nc -l -p 7000 -e echo hello from inside; done", { timeoutMs: 0 });
  await sandbox.commands.run("until netstat -ltn | grep -q :7000; do sleep 0.1; done");
  const forwarded = await sandbox.ports.forward(7000);
  const socket = createConnection(forwarded.port, forwarded.host);
  const text: unknown[] = await once(socket.setEncoding("utf8"), "data");
  console.log(String(text[0]).trim());
  await forwarded.close();
} finally {
  await sandbox.kill();
}
