"""The blocking client, every method of it, in a real sandbox."""

import io
import socket
import time

import pytest

import a3s_box_sdk as a3s
from a3s_box_sdk import Sandbox


def until(what, holds, seconds=60):
    end = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < end, what
        time.sleep(0.05)


def read_line(handle):
    for _ in handle:
        if handle.stdout.endswith("\n"):
            return


@pytest.fixture(scope="module")
def sandbox():
    made = Sandbox.create(timeout=600, metadata={"made by": "é&="}, envs={"GREETING": "hello"})
    yield made
    made.kill()


def test_commands_answer_with_output_exit_and_what_they_were_given(sandbox):
    ran = sandbox.commands.run("echo $GREETING $MORE; echo err >&2; pwd; id -un", envs={"MORE": "more"}, cwd="/tmp")
    assert (ran.exit_code, ran.stdout, ran.stderr, ran.error) == (0, "hello more\n/tmp\nuser\n", "err\n", None)
    assert sandbox.commands.run(["id", "-un"], user="root").stdout == "root\n"
    assert sandbox.commands.run(["printf", "%s|", "a b", "$HOME"]).stdout == "a b|$HOME|"
    seen = []
    sandbox.commands.run("printf 'ä€'; printf two >&2", on_stdout=seen.append, on_stderr=seen.append)
    assert "".join(seen).replace("two", "") == "ä€"
    with pytest.raises(a3s.CommandExitException) as failed:
        sandbox.commands.run("echo out; exit 3")
    assert (failed.value.exit_code, failed.value.stdout, failed.value.error) == (3, "out\n", "exit status 3")
    with pytest.raises(a3s.CommandExitException) as killed:
        sandbox.commands.run("kill -9 $$")
    assert (killed.value.exit_code, killed.value.error, killed.value.signal) == (-1, "signal: killed", 9)
    with pytest.raises(a3s.InvalidArgumentException) as nowhere:
        sandbox.commands.run("true", cwd="/no/such")
    assert nowhere.value.sandbox_id == sandbox.sandbox_id and nowhere.value.stage == "commands.run"
    with pytest.raises(a3s.NotFoundException):
        sandbox.commands.run(["/no/such/program"])


def test_commands_in_the_foreground_leave_nothing(sandbox):
    sandbox.commands.run("true", tag="once")
    until("it is forgotten", lambda: "once" not in [one.tag for one in sandbox.commands.list(ended=True)])


def test_a_command_that_nobody_waits_for_any_more_is_killed(sandbox):
    def raises(_):
        raise KeyError("of the test")

    with pytest.raises(KeyError):
        sandbox.commands.run("echo begun; sleep 600", on_stdout=raises, timeout=0)
    until("it is gone", lambda: sandbox.commands.list(ended=True) == [])


def test_a_command_is_killed_at_the_end_of_its_time(sandbox):
    with pytest.raises(a3s.TimeoutException):
        sandbox.commands.run("sleep 600", timeout=1)
    until("it is gone", lambda: sandbox.commands.list() == [])


def test_input_goes_to_a_command_in_the_background_and_ends(sandbox):
    cat = sandbox.commands.start("cat", stdin=True, tag="cat")
    assert [(one.pid, one.tag, one.exit_code) for one in sandbox.commands.list()] == [(cat.pid, "cat", None)]
    cat.send_stdin("one\n")
    sandbox.commands.send_stdin(cat.pid, b"two\n")
    sandbox.commands.close_stdin(cat.pid)
    assert cat.wait().stdout == "one\ntwo\n"
    with pytest.raises(a3s.SandboxException):
        cat.send_stdin("late")
    sleeper = sandbox.commands.run("sleep 600; true", background=True, timeout=0)
    assert sandbox.commands.kill(sleeper.pid)
    with pytest.raises(a3s.CommandExitException):
        sleeper.wait()
    assert not sandbox.commands.kill(sleeper.pid) and not sleeper.kill()
    trap = sandbox.commands.start("trap 'echo caught; exit 0' USR1; echo ready; while :; do sleep 0.1; done", timeout=0)
    read_line(trap)
    assert sandbox.commands.signal(trap.pid, 10)
    assert trap.wait().stdout == "ready\ncaught\n"
    with pytest.raises(a3s.ProcessNotFoundException):
        sandbox.commands.connect(10_000)


def test_output_is_taken_up_again_where_it_was_left(sandbox):
    size = 8 * 1024 * 1024
    first = sandbox.commands.start(
        f"echo begun; read -r _; head -c {size} /dev/zero | tr '\\0' x; echo; echo done", stdin=True, timeout=0
    )
    read_line(first)
    first.disconnect()
    with pytest.raises(a3s.SandboxException):
        first.wait()
    first.send_stdin("go\n")
    again = sandbox.commands.connect(first.pid, timeout=0).wait()
    assert len(again.stdout) == size + len("\ndone\n") and again.stdout.endswith("x\ndone\n")
    everything = list(first.output())
    assert sum(len(chunk.data) for chunk in everything) == size + len("begun\n\ndone\n")
    assert [chunk.offset for chunk in everything][0] == 0
    tail = list(sandbox.commands.connect(first.pid, from_=size + 7).output(from_=size + 7))
    assert b"".join(chunk.data for chunk in tail) == b"done\n"


def test_a_terminal_has_a_size_and_input(sandbox):
    terminal = sandbox.pty.create(a3s.PtySize(rows=30, cols=90))
    sandbox.pty.resize(terminal.pid, a3s.PtySize(rows=40, cols=100))
    sandbox.pty.send_stdin(terminal.pid, b"stty size; echo $TERM $((40 + 2)); exit\n")
    seen = []
    terminal.wait(on_pty=seen.append)
    assert b"40 100\r\n" in b"".join(seen) and b"xterm-256color 42\r\n" in b"".join(seen)
    other = sandbox.pty.create(a3s.PtySize(rows=30, cols=90))
    assert sandbox.pty.connect(other.pid).pid == other.pid
    assert sandbox.pty.kill(other.pid)


def test_files_are_written_read_listed_moved_and_removed(sandbox):
    files = sandbox.files
    home = sandbox.get_info().cwd
    written = files.write("d/a.txt", "content é")
    assert (written.name, written.path, written.type) == ("a.txt", f"{home}/d/a.txt", a3s.FileType.FILE)
    large = bytes(range(256)) * 12_000
    files.write_files([{"path": "d/one", "data": b"1"}, {"path": '/tmp/x "two"', "data": io.BytesIO(b"22")}])
    files.write("d/large", (large[at : at + 100_000] for at in range(0, len(large), 100_000)))
    files.write("d/text", io.StringIO("é" * 10))
    files.write("d/empty", b"")
    assert files.read("d/a.txt") == "content é" and files.read('/tmp/x "two"') == "22" and files.read("d/empty") == ""
    assert bytes(files.read("d/large", format="bytes")) == large
    with files.read("d/large", format="stream") as stream:
        assert b"".join(stream) == large
    assert files.read("~/d/text") == "é" * 10
    entries = {entry.name: entry for entry in files.list("d")}
    assert sorted(entries) == ["a.txt", "empty", "large", "one", "text"]
    assert (entries["a.txt"].size, entries["a.txt"].permissions, entries["a.txt"].owner) == (10, "-rw-r--r--", "user")
    assert (files.make_dir("m/n"), files.make_dir("m/n")) == (True, False)
    sandbox.commands.run(f"ln -s {home}/d link; ln -s nowhere broken", cwd=home)
    link = files.get_info("link")
    assert (link.type, link.symlink_target) == (a3s.FileType.DIR, f"{home}/d")
    assert files.stat("broken").type is a3s.FileType.SYMLINK
    assert files.rename("d/one", "m/n/two").path == f"{home}/m/n/two"
    assert not files.exists("d/one") and files.exists("m/n/two")
    files.remove("m")
    files.remove("m")
    assert not files.exists("m/n/two")
    with pytest.raises(a3s.FileNotFoundException):
        files.read("none")
    with pytest.raises(a3s.InvalidArgumentException):
        files.read("d")
    with pytest.raises(a3s.PermissionDeniedException):
        files.write("/etc/passwd", "x")
    files.write("/root/secret", "of root", user="root")
    assert files.read("/root/secret", user="root") == "of root"


def test_a_file_whose_source_fails_is_not_there(sandbox):
    def breaks():
        yield b"x" * 300_000
        raise KeyError("of the test")

    with pytest.raises(KeyError):
        sandbox.files.write("half", breaks())
    with pytest.raises(a3s.InvalidArgumentException):
        sandbox.files.write("half", ["text"])  # type: ignore[list-item]
    assert not sandbox.files.exists("half")


def test_a_directory_is_watched(sandbox):
    sandbox.files.make_dir("watched/below")
    watch = sandbox.files.watch_dir("watched", recursive=True, include_entry=True)
    sandbox.files.write("watched/below/new", "1")
    seen = []
    until("it is seen", lambda: seen.extend(watch.get_new_events()) or "below/new" in [one.name for one in seen])
    assert [one.entry.size for one in seen if one.name == "below/new" and one.entry][0] == 1
    watch.stop()
    with pytest.raises(a3s.FileNotFoundException):
        sandbox.files.watch_dir("none")


def test_ports_are_reached(sandbox):
    server = sandbox.commands.start(
        "exec python3 -u -c \"import socket\ns=socket.create_server(('127.0.0.1',7070))\nprint('up')\n"
        "while 1:\n c,_=s.accept()\n d=b''\n while 1:\n  p=c.recv(9999)\n  if not p: break\n  d+=p\n"
        " c.sendall(d.upper()); c.close()\"",
        timeout=0,
    )
    read_line(server)

    def talk(connection):
        with connection:
            connection.sendall(b"abc" * 50_000)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                part = connection.recv(65536)
                if not part:
                    return answer
                answer += part

    assert talk(sandbox.ports.connect(7070)) == b"ABC" * 50_000
    with sandbox.ports.forward(7070) as forward:
        for _ in range(2):
            assert talk(socket.create_connection((forward.host, forward.port), 10)) == b"ABC" * 50_000
    with pytest.raises(a3s.FailedPreconditionException):
        sandbox.ports.connect(7071)
    server.kill()


def test_facts_figures_and_time_of_a_sandbox(sandbox, endpoint):
    info = sandbox.get_info()
    assert (info.template_id, info.state, info.metadata) == ("base", "running", {"made by": "é&="})
    assert Sandbox.get_info(sandbox.sandbox_id, endpoint=endpoint).started_at == info.started_at
    sandbox.set_timeout(3000)
    later = sandbox.get_info().end_at
    Sandbox.set_timeout(sandbox.sandbox_id, 2000)
    assert later > sandbox.get_info().end_at > info.started_at
    assert Sandbox.connect(sandbox.sandbox_id, timeout=2500).get_info().end_at < later
    (figures,) = sandbox.get_metrics()
    assert figures.cpu_count == 1 and 0 < figures.mem_used <= figures.mem_total and figures.disk_total >= 0
    query = a3s.SandboxQuery(metadata={"made by": "é&="}, state=[a3s.SandboxState.RUNNING])
    assert [one.sandbox_id for one in Sandbox.list(query=query, limit=1)] == [sandbox.sandbox_id]
    assert Sandbox.list(query=a3s.SandboxQuery(metadata={"made by": "b"})).next_items() == []
    assert sandbox.is_running()
    assert sandbox.pause() and Sandbox.pause(sandbox.sandbox_id)
    assert sandbox.get_info().state is a3s.SandboxState.PAUSED and not sandbox.is_running()
    with pytest.raises(a3s.SandboxException, match="paused"):
        sandbox.commands.run("true")
    assert sandbox.resume().state is a3s.SandboxState.RUNNING
    sandbox.pause()
    assert Sandbox.connect(sandbox.sandbox_id).commands.run("echo on").stdout == "on\n"


def test_each_error_says_what_and_about_what():
    with pytest.raises(a3s.NotFoundException) as none:
        Sandbox.create("none-such-template")
    assert none.value.code == "not_found" and "none-such-template" in str(none.value) and none.value.hint
    with pytest.raises(a3s.InvalidArgumentException):
        Sandbox.create(memory_mb=1)
    with pytest.raises(a3s.SandboxNotFoundException):
        Sandbox.connect("a" * 20)
    with Sandbox.create() as short:
        short.commands.run("true")
    assert [short.kill(), Sandbox.kill(short.sandbox_id), short.is_running()] == [False, False, False]
    for call in (
        lambda: short.commands.run("true"),
        lambda: short.commands.kill(1),
        lambda: short.files.read("a"),
        lambda: short.files.exists("a"),
        short.get_info,
        short.get_metrics,
        lambda: short.ports.connect(80),
    ):
        with pytest.raises(a3s.SandboxNotFoundException):
            call()
