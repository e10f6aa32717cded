"""What an app does with E2B's Python SDKs as they are published; a failed assertion is the test's. Argument: the mode."""
import asyncio
import sys
import time

from e2b import (
    AsyncSandbox,
    CommandExitException,
    FileNotFoundException,
    FileType,
    SandboxException,
    SandboxNotFoundException,
    SandboxQuery,
    TimeoutException,
)
from e2b_code_interpreter import Sandbox


def raised(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def until(what, holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def code(sandbox):
    def answers():
        try:
            return sandbox.run_code("x = 40\nprint('hi')\nx + 2")
        except Exception:
            return None

    ran = None

    def ran_it():
        nonlocal ran
        ran = answers()
        return ran is not None

    until("the server for code listens", ran_it)
    assert (ran.text, "".join(ran.logs.stdout)) == ("42", "hi\n"), ran


def commands(sandbox):
    ran = sandbox.commands.run("echo $GREETING; echo err >&2", envs={"GREETING": "hello"})
    assert (ran.stdout, ran.stderr, ran.exit_code) == ("hello\n", "err\n", 0), ran
    failed = raised(CommandExitException, lambda: sandbox.commands.run("exit 3"))
    assert (failed.exit_code, failed.error) == (3, "exit status 3"), failed
    cat = sandbox.commands.run("cat", background=True, stdin=True)
    sandbox.commands.send_stdin(cat.pid, "one\n")
    sandbox.commands.close_stdin(cat.pid)
    assert cat.wait().stdout == "one\n"
    cat = sandbox.commands.run("cat", background=True, stdin=True)
    sandbox.commands.stream_input(cat.pid, iter(["two\n", b"three\n"]))
    sandbox.commands.close_stdin(cat.pid)
    assert cat.wait().stdout == "two\nthree\n"
    sleeper = sandbox.commands.run("sleep 600; true", background=True, timeout=0)
    assert sleeper.pid in [process.pid for process in sandbox.commands.list()]
    assert sandbox.commands.kill(sleeper.pid)
    assert raised(CommandExitException, sleeper.wait).exit_code == -1
    assert not sandbox.commands.kill(sleeper.pid)
    first = sandbox.commands.run("echo one; read -r _; echo two", background=True, stdin=True, timeout=0)
    for out, _, _ in first:
        assert out == "one\n", out
        break
    first.disconnect()
    sandbox.commands.send_stdin(first.pid, "go\n")
    assert sandbox.commands.connect(first.pid).wait().stdout == "two\n"
    raised(TimeoutException, lambda: sandbox.commands.run("sleep 600", timeout=2))


def files(sandbox):
    assert sandbox.files.write("p/a.txt", "content é").path == "/home/user/p/a.txt"
    sandbox.files.write_files([{"path": "p/one", "data": "1"}, {"path": "p/two", "data": b"22"}])
    assert sandbox.files.read("p/a.txt") == "content é"
    assert bytes(sandbox.files.read("p/two", format="bytes")) == b"22"
    listed = [(entry.name, entry.type, entry.size) for entry in sandbox.files.list("p")]
    assert listed == [("a.txt", FileType.FILE, 10), ("one", FileType.FILE, 1), ("two", FileType.FILE, 2)], listed
    assert (sandbox.files.make_dir("q"), sandbox.files.make_dir("q")) == (True, False)
    assert sandbox.files.rename("p/one", "q/one").path == "/home/user/q/one"
    assert sandbox.files.get_info("q/one").owner == "user"
    assert sandbox.files.exists("q/one") and not sandbox.files.exists("p/one")
    raised(FileNotFoundException, lambda: sandbox.files.read("p/one"))
    assert sandbox.files.write("q/kept", "1", metadata={"Author": "me"}).metadata == {"author": "me"}
    assert sandbox.files.get_info("q/kept").metadata == {"author": "me"}
    watch = sandbox.files.watch_dir("q", include_entry=True, allow_network_mounts=True)
    sandbox.commands.run("echo 1 > q/new")
    seen = []
    until("the new file is seen", lambda: seen.extend(e.name for e in watch.get_new_events()) or "new" in seen)
    watch.stop()
    sandbox.files.remove("q")
    assert not sandbox.files.exists("q")


def blocking():
    sandbox = Sandbox.create("base", metadata={"lang": "p y&t=h"}, timeout=600)
    commands(sandbox)
    files(sandbox)
    code(sandbox)
    assert sandbox.get_metrics()[0].cpu_count == 1
    assert sandbox.get_info().metadata == {"lang": "p y&t=h"}
    sandbox.set_timeout(3000)
    page = Sandbox.list(query=SandboxQuery(metadata={"lang": "p y&t=h"}), limit=1).next_items()
    assert [found.sandbox_id for found in page] == [sandbox.sandbox_id]
    assert Sandbox.connect(sandbox.sandbox_id).commands.run("echo again").stdout == "again\n"
    sandbox.pause()
    assert sandbox.get_info().state.value == "paused" and not sandbox.is_running()
    raised(SandboxException, lambda: sandbox.commands.run("true"))
    assert sandbox.connect(timeout=600).commands.run("echo on").stdout == "on\n"
    assert sandbox.is_running() and sandbox.kill() and not sandbox.kill() and not sandbox.is_running()
    raised(SandboxException, lambda: sandbox.commands.run("true"))
    raised(SandboxNotFoundException, sandbox.get_info)


async def waiting():
    sandbox = await AsyncSandbox.create("base", timeout=600)
    ran = await sandbox.commands.run("echo out")
    assert ran.stdout == "out\n", ran
    seen = []
    await sandbox.files.make_dir("w")
    handle = await sandbox.files.watch_dir("w", on_event=lambda event: seen.append(event.name))
    await sandbox.files.write("w/new", "1")
    for _ in range(600):
        if "new" in seen:
            break
        await asyncio.sleep(0.1)
    assert "new" in seen, seen
    await handle.stop()
    out = []
    terminal = await sandbox.pty.create(size=size(), on_data=lambda data: out.append(bytes(data)))
    await sandbox.pty.send_stdin(terminal.pid, b"stty size; exit\n")
    await terminal.wait()
    assert b"30 90" in b"".join(out), out
    assert await sandbox.kill()


def size():
    from e2b import PtySize

    return PtySize(rows=30, cols=90)


def debugging():
    sandbox = Sandbox.create()
    commands(sandbox)
    files(sandbox)
    code(sandbox)
    assert sandbox.is_running() and sandbox.kill()


def reattaching(script):
    sandbox = Sandbox.create("base", timeout=600)
    first = sandbox.commands.run(script, background=True, timeout=0)
    for out, _, _ in first:
        assert out == "begun\n", out
        break
    first.disconnect()
    time.sleep(180)
    whole = "".join(digit * 1024 * 1024 for digit in "12345678") + "done\n"
    ended = Sandbox.connect(sandbox.sandbox_id).commands.connect(first.pid, timeout=0).wait()
    assert (ended.exit_code, len(ended.stdout)) == (0, len(whole)), (ended.exit_code, len(ended.stdout))
    assert ended.stdout == whole
    assert sandbox.kill()


if sys.argv[1] == "async":
    asyncio.run(waiting())
elif sys.argv[1] == "reattach":
    reattaching(sys.argv[2])
else:
    {"sync": blocking, "debug": debugging}[sys.argv[1]]()
print("done")
