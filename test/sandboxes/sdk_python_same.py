"""A program as people have written them for E2B's SDK. Its test runs it as it is, and with its imports changed to ours."""
from e2b import (
    CommandExitException,
    FileNotFoundException,
    FileType,
    InvalidArgumentException,
    NotFoundException,
    PtySize,
    Sandbox,
    SandboxException,
    SandboxNotFoundException,
    SandboxQuery,
    TimeoutException,
)


def raised(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


sandbox = Sandbox.create("base", timeout=600, metadata={"program": "of both"}, envs={"GREETING": "hello"})
try:
    ran = sandbox.commands.run("echo $GREETING $MORE; echo err >&2; id -un", envs={"MORE": "more"}, cwd="/tmp")
    print(ran.stdout, ran.stderr, ran.exit_code, ran.error)
    print(sandbox.commands.run("id -un", user="root").stdout)
    failed = raised(CommandExitException, lambda: sandbox.commands.run("echo out; exit 3"))
    print(failed.exit_code, failed.stdout, failed.error)
    killed = raised(CommandExitException, lambda: sandbox.commands.run("kill -9 $$"))
    print(killed.exit_code, killed.error)
    raised(InvalidArgumentException, lambda: sandbox.commands.run("true", cwd="/no/such"))
    raised(TimeoutException, lambda: sandbox.commands.run("sleep 600", timeout=1))
    parts = []
    sandbox.commands.run("echo one; echo two", on_stdout=parts.append, on_stderr=parts.append)
    print("".join(parts))

    cat = sandbox.commands.run("cat", background=True, stdin=True)
    print([(one.cmd, one.args) for one in sandbox.commands.list() if one.pid == cat.pid])
    sandbox.commands.send_stdin(cat.pid, "typed\n")
    sandbox.commands.close_stdin(cat.pid)
    print(cat.wait().stdout)
    first = sandbox.commands.run("echo one; read -r _; echo two", background=True, stdin=True, timeout=0)
    for out, err, pty in first:
        print(out, err, pty)
        break
    first.disconnect()
    sandbox.commands.send_stdin(first.pid, "go\n")
    print(sandbox.commands.connect(first.pid).wait().stdout)
    sleeper = sandbox.commands.run("sleep 600; true", background=True, timeout=0)
    print(sandbox.commands.kill(sleeper.pid), raised(CommandExitException, sleeper.wait).exit_code)
    print(sandbox.commands.kill(sleeper.pid))

    terminal = sandbox.pty.create(PtySize(rows=30, cols=90))
    sandbox.pty.resize(terminal.pid, PtySize(rows=40, cols=100))
    sandbox.pty.send_stdin(terminal.pid, b"stty size; exit\n")
    screen = []
    terminal.wait(on_pty=lambda data: screen.append(bytes(data)))
    print(b"40 100\r\n" in b"".join(screen))

    print(sandbox.files.write("d/a.txt", "content é").path)
    sandbox.files.write_files([{"path": "d/one", "data": "1"}, {"path": "d/two", "data": b"22"}])
    print(sandbox.files.read("d/a.txt"), bytes(sandbox.files.read("d/two", format="bytes")))
    with sandbox.files.read("d/a.txt", format="stream") as stream:
        print(b"".join(stream).decode())
    for entry in sandbox.files.list("d"):
        print(entry.name, entry.type, entry.path, entry.size, entry.permissions, entry.owner, entry.group)
    print(sandbox.files.make_dir("m/n"), sandbox.files.make_dir("m/n"))
    print(sandbox.files.rename("d/one", "m/n/one").path, sandbox.files.exists("d/one"), sandbox.files.exists("m/n/one"))
    sandbox.commands.run("ln -s /home/user/d link; ln -s nowhere broken")
    link, broken = sandbox.files.get_info("link"), sandbox.files.get_info("broken")
    print(link.type, link.symlink_target, broken.type is FileType.SYMLINK)
    sandbox.files.remove("m")
    print(sandbox.files.exists("m"))
    for kind in (FileNotFoundException, NotFoundException):
        raised(kind, lambda: sandbox.files.read("none"))
    raised(InvalidArgumentException, lambda: sandbox.files.read("d"))
    raised(SandboxException, lambda: sandbox.files.write("/etc/passwd", "x"))
    watch = sandbox.files.watch_dir("d")
    sandbox.commands.run("echo 1 > d/new")
    seen = []
    while "new" not in seen:
        seen.extend(event.name for event in watch.get_new_events())
    watch.stop()

    info = sandbox.get_info()
    print(info.template_id, info.state.value, info.metadata, info.cpu_count)
    sandbox.set_timeout(3000)
    print((sandbox.get_info().end_at - info.started_at).total_seconds() > 2900)
    print(sandbox.get_metrics()[0].cpu_count)
    pages = Sandbox.list(query=SandboxQuery(metadata={"program": "of both"}), limit=1)
    print([one.sandbox_id == sandbox.sandbox_id for one in pages.next_items()])
    print(Sandbox.connect(sandbox.sandbox_id).commands.run("echo again").stdout)
    sandbox.pause()
    print(sandbox.get_info().state.value, sandbox.is_running())
    print(sandbox.connect().commands.run("echo on").stdout)
    print(sandbox.is_running())
finally:
    print(sandbox.kill())
print(sandbox.kill(), Sandbox.kill(sandbox.sandbox_id), sandbox.is_running())
raised(SandboxNotFoundException, sandbox.get_info)
raised(SandboxException, lambda: sandbox.commands.run("true"))
