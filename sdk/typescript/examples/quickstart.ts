/** A sandbox, a command, a file, and its end. */
import { Sandbox } from "a3s-box-sdk";

const sandbox = await Sandbox.create({ timeoutMs: 300_000, metadata: { app: "quickstart" } });
try {
  const { stdout } = await sandbox.commands.run("echo $((6 * 7))");
  console.log(stdout.trim());
  await sandbox.files.write("notes/hello.txt", "hello from outside\n");
  console.log((await sandbox.commands.run("cat notes/hello.txt")).stdout.trim());
} finally {
  await sandbox.kill();
}
