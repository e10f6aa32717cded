/** An app with a sandbox server beside it, in its pod: our SDK finds that by A3S_BOX_ENDPOINT. Prints what it saw, as JSON. */
import { readFile, writeFile } from "node:fs/promises";
import { Sandbox } from "../../../sdk/typescript/src/index.js";

await writeFile("/workspace/from-app", "given\n");
const mounts = [
  { hostPath: "/workspace", path: "/workspace", readonly: false },
  { hostPath: "/skills", path: "/skills", readonly: true },
];
const sandbox = await Sandbox.create("base", { mounts });
const run = async (line: string): Promise<string> => {
  const { exitCode, stdout, stderr } = await sandbox.commands.run(line).catch((thrown: unknown) => {
    return thrown instanceof Error && "exitCode" in thrown && "stdout" in thrown && "stderr" in thrown
      ? { exitCode: Number(thrown.exitCode), stdout: String(thrown.stdout), stderr: String(thrown.stderr) }
      : { exitCode: -1, stdout: "", stderr: String(thrown) };
  });
  return `${stdout}${stderr}${String(exitCode)}`;
};
const seen = {
  kernel: await run("uname -r"),
  workspace: await run("cat /workspace/from-app && echo made > /workspace/from-box"),
  skills: await run("cat /skills/review/SKILL.md"),
  writesSkills: await run("echo x > /skills/mine"),
  files: await sandbox.files.write("/tmp/one", "one").then(() => sandbox.files.read("/tmp/one")),
  inApp: await readFile("/workspace/from-box", "utf8"),
};
await sandbox.kill();
process.stdout.write(`${JSON.stringify(seen)}\n`);
