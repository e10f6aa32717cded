/**
 * A program of somebody who has E2B's SDK, in the words of its documentation. It is run as it is, and with `a3s-box-sdk` in the
 * place of `e2b`: what it prints must be the same.
 */
import {
  CommandExitError,
  FileNotFoundError,
  FileType,
  InvalidArgumentError,
  Sandbox,
  SandboxNotFoundError,
  TimeoutError,
} from "e2b";

const say = (what: string, value: unknown): void => {
  process.stdout.write(`${JSON.stringify([what, value])}\n`);
};

async function failure(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (thrown) {
    return thrown;
  }
  return undefined;
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function commands(sandbox: Sandbox): Promise<void> {
  const seen: string[] = [];
  const ran = await sandbox.commands.run("echo $GREETING $MORE; echo err >&2; pwd", {
    envs: { MORE: "more" },
    cwd: "/tmp",
    onStderr: (text) => {
      seen.push(text);
    },
  });
  say("run", [ran.exitCode, ran.stdout, ran.stderr, seen]);
  const root = await sandbox.commands.run("id -un", { user: "root" });
  say("user", root.stdout);
  const failed = await failure(sandbox.commands.run("echo out; exit 3"));
  if (failed instanceof CommandExitError) say("exit", [failed.exitCode, failed.stdout, failed.error]);
  const killed = await failure(sandbox.commands.run("kill -9 $$"));
  if (killed instanceof CommandExitError) say("signal", [killed.exitCode, killed.error]);
  say("cwd", (await failure(sandbox.commands.run("true", { cwd: "/no/such" }))) instanceof InvalidArgumentError);
  say("late", (await failure(sandbox.commands.run("sleep 600", { timeoutMs: 1500 }))) instanceof TimeoutError);
}

async function background(sandbox: Sandbox): Promise<void> {
  const cat = await sandbox.commands.run("cat", { background: true, stdin: true });
  await sandbox.commands.sendStdin(cat.pid, "one\n");
  await cat.sendStdin("two\n");
  await sandbox.commands.closeStdin(cat.pid);
  say("stdin", (await cat.wait()).stdout);
  const sleeper = await sandbox.commands.run("sleep 600; true", { background: true, timeoutMs: 0 });
  const listed = await sandbox.commands.list();
  say(
    "list",
    listed.filter(({ pid }) => pid === sleeper.pid).map(({ cmd, args }) => ({ cmd, args })),
  );
  say("kill", await sandbox.commands.kill(sleeper.pid));
  const end = await failure(sleeper.wait());
  if (end instanceof CommandExitError) say("killed", [end.exitCode, end.error]);
  say("kill again", await sandbox.commands.kill(sleeper.pid));

  const first = await sandbox.commands.run("echo begun; read -r line; echo $line", { background: true, stdin: true });
  await until(() => first.stdout === "begun\n");
  await first.disconnect();
  await sandbox.commands.sendStdin(first.pid, "go on\n");
  say("connect", (await (await sandbox.commands.connect(first.pid)).wait()).stdout);
}

async function terminal(sandbox: Sandbox): Promise<void> {
  let seen = "";
  const onData = (data: Uint8Array): void => {
    seen += Buffer.from(data).toString();
  };
  const pty = await sandbox.pty.create({ cols: 90, rows: 30, onData });
  await sandbox.pty.resize(pty.pid, { cols: 100, rows: 40 });
  await sandbox.pty.sendInput(pty.pid, Buffer.from("stty size; echo $TERM $((40 + 2)); exit\n"));
  await pty.wait();
  say("pty", [/40 100\r\n/.test(seen), /xterm-256color 42\r\n/.test(seen)]);
}

async function files({ files, commands }: Sandbox): Promise<void> {
  const info = await files.write("d/a.txt", "content é");
  say("write", [info.name, info.path]);
  await files.write([
    { path: "d/one", data: "1" },
    { path: '/tmp/x "two"', data: new Blob(["22"]) },
  ]);
  const bytes = new Uint8Array(3_000_000).fill(7);
  await files.write("d/large", bytes.buffer);
  say("read", [await files.read("d/a.txt"), await files.read('/tmp/x "two"')]);
  say("bytes", Buffer.compare(await files.read("d/large", { format: "bytes" }), bytes));
  say("blob", await (await files.read("d/a.txt", { format: "blob" })).text());
  let streamed = 0;
  const reader = (await files.read("d/large", { format: "stream" })).getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) streamed += next.value.length;
  say("stream", streamed);
  const entries = await files.list("d");
  say(
    "entries",
    entries.map(({ name, type, path, size, mode, permissions, owner, group }) => [
      ...[name, type === FileType.FILE, path, size, mode, permissions, owner, group],
    ]),
  );
  say("makeDir", [await files.makeDir("m/n"), await files.makeDir("m/n")]);
  await commands.run("ln -s /home/user/d link; ln -s nowhere broken");
  const [link, broken] = [await files.getInfo("link"), await files.getInfo("broken")];
  say("links", [link.type === FileType.DIR, link.symlinkTarget, broken.type === FileType.SYMLINK]);
  say("rename", (await files.rename("d/one", "m/n/two")).path);
  say("exists", [await files.exists("d/one"), await files.exists("m/n/two")]);
  await files.remove("m");
  await files.remove("m");
  say("gone", await files.exists("m/n/two"));
  const missing = await failure(files.read("none"));
  say("no file", missing instanceof FileNotFoundError);
  say("no directory", (await failure(files.list("none"))) instanceof FileNotFoundError);
  say("a directory", (await failure(files.read("d"))) instanceof InvalidArgumentError);
  await files.write("/root/secret", "of root", { user: "root" });
  say("root", await files.read("/root/secret", { user: "root" }));
}

async function watching({ files, commands }: Sandbox): Promise<void> {
  await files.makeDir("watched/below");
  const seen = new Set<string>();
  const handle = await files.watchDir("watched", ({ type, name }) => void seen.add(`${type} ${name}`), {
    recursive: true,
  });
  await commands.run("echo 1 > watched/below/new; rm watched/below/new");
  await until(() => seen.has("create below/new") && seen.has("remove below/new"));
  await handle.stop();
  say("watch", true);
}

async function life(sandbox: Sandbox): Promise<void> {
  const info = await sandbox.getInfo();
  const { templateId, state, metadata, cpuCount } = info;
  say("info", [info.sandboxId === sandbox.sandboxId, templateId, state, metadata, cpuCount]);
  await sandbox.setTimeout(3_000_000);
  const { endAt } = await sandbox.getInfo();
  say("setTimeout", endAt.getTime() > Date.now() + 2_900_000);
  const [figures] = await sandbox.getMetrics();
  say("metrics", [figures?.cpuCount, (figures?.memTotal ?? 0) > 0]);
  const pages = Sandbox.list({ query: { metadata: info.metadata }, limit: 1 });
  say(
    "sandboxes",
    (await pages.nextItems()).map(({ sandboxId }) => sandboxId === sandbox.sandboxId),
  );
  const again = await Sandbox.connect(sandbox.sandboxId);
  say("again", (await again.commands.run("echo again")).stdout);
  say("running", await sandbox.isRunning());
  say("pause", (await failure(sandbox.pause())) instanceof Error);
  say("end", [await sandbox.kill(), await sandbox.kill(), await sandbox.isRunning()]);
  say("no sandbox", (await failure(Sandbox.connect(sandbox.sandboxId))) instanceof SandboxNotFoundError);
  say("no command", (await failure(sandbox.commands.run("true"))) instanceof SandboxNotFoundError);
}

const sandbox = await Sandbox.create({
  timeoutMs: 600_000,
  metadata: { app: `of ${process.argv[2] ?? "nobody"}` },
  envs: { GREETING: "hello" },
});
await commands(sandbox);
await background(sandbox);
await terminal(sandbox);
await files(sandbox);
await watching(sandbox);
await life(sandbox);
