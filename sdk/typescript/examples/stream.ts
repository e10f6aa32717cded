/** A program in the background: its output as it comes, no faster than it is read, and taken up again by its number. */
import { CommandExitError, Sandbox } from "a3s-box-sdk";

const sandbox = await Sandbox.create();
try {
  const counting = await sandbox.commands.start("i=0; while [ $i -lt 3 ]; do i=$((i+1)); echo $i; done; exit 7");
  for await (const part of counting.output()) {
    if ("lost" in part) console.log(`${part.lost} bytes were not kept`);
    else process.stdout.write(part.data);
  }
  const again = await sandbox.commands.connect(counting.pid, { from: "start" });
  try {
    await again.wait();
  } catch (thrown) {
    if (!(thrown instanceof CommandExitError)) throw thrown;
    console.log(`${thrown.error}, after ${thrown.stdout.length} characters`);
  }
} finally {
  await sandbox.kill();
}
