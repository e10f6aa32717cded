"""The asyncio client, every method of it, in a real sandbox."""

import asyncio

import pytest

import a3s_box_sdk as a3s
from a3s_box_sdk import AsyncSandbox


async def until(what, holds, seconds=60):
    async def ask():
        while not holds():
            await asyncio.sleep(0.05)

    await asyncio.wait_for(ask(), seconds)


def test_all_of_it(endpoint):
    async def whole():
        sandbox = await AsyncSandbox.create(timeout=600, metadata={"client": "async"})
        try:
            await asyncio.gather(commands(sandbox), files(sandbox), ports(sandbox))
            await facts(sandbox, endpoint)
        finally:
            assert await sandbox.kill()
        await gone(sandbox)

    asyncio.run(whole())


async def commands(sandbox):
    seen = []
    ran = await sandbox.commands.run("printf 'ä€'; echo err >&2; pwd", cwd="/tmp", on_stdout=seen.append)
    assert (ran.stdout, ran.stderr, ran.exit_code) == ("ä€/tmp\n", "err\n", 0)
    assert "".join(seen) == ran.stdout
    with pytest.raises(a3s.CommandExitException) as failed:
        await sandbox.commands.run("exit 3")
    assert (failed.value.exit_code, failed.value.error) == (3, "exit status 3")
    with pytest.raises(a3s.TimeoutException):
        await sandbox.commands.run("sleep 600", timeout=1)
    with pytest.raises(a3s.NotFoundException):
        await sandbox.commands.run(["/no/such/program"])

    async def heard(text):
        await asyncio.sleep(0)
        seen.append(text)

    cat = await sandbox.commands.start("cat", stdin=True, on_stdout=heard, tag="cat")
    assert "cat" in [one.tag for one in await sandbox.commands.list()]
    await cat.send_stdin("one\n")
    await sandbox.commands.send_stdin(cat.pid, b"two\n")
    await until("both are heard", lambda: seen[-1].endswith("two\n"))
    await cat.close_stdin()
    assert (await cat.wait()).stdout == cat.stdout == "one\ntwo\n" and cat.exit_code == 0
    sleeper = await sandbox.commands.run("sleep 600", background=True, timeout=0)
    assert await sandbox.commands.signal(sleeper.pid, 15)
    with pytest.raises(a3s.CommandExitException) as ended:
        await sleeper.wait()
    assert ended.value.error == "signal: terminated"
    assert not await sandbox.commands.kill(sleeper.pid) and not await sleeper.kill()
    first = await sandbox.commands.start("echo one; read -r _; echo two", stdin=True, timeout=0)
    await until("the first line", lambda: first.stdout == "one\n")
    await first.disconnect()
    with pytest.raises(a3s.SandboxException):
        await first.wait()
    await sandbox.commands.send_stdin(first.pid, "go\n")
    assert (await (await sandbox.commands.connect(first.pid)).wait()).stdout == "two\n"
    assert b"".join([chunk.data async for chunk in first.output()]) == b"one\ntwo\n"
    waiting = asyncio.create_task(sandbox.commands.run("sleep 600", timeout=0, tag="given up"))
    while "given up" not in [one.tag for one in await sandbox.commands.list()]:
        await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    while "given up" in [one.tag for one in await sandbox.commands.list(ended=True)]:
        await asyncio.sleep(0.05)
    await terminals(sandbox)


async def terminals(sandbox):
    seen = []
    terminal = await sandbox.pty.create(a3s.PtySize(rows=30, cols=90), on_data=seen.append)
    await sandbox.pty.resize(terminal.pid, a3s.PtySize(rows=40, cols=100))
    await sandbox.pty.send_stdin(terminal.pid, b"stty size; exit\n")
    await terminal.wait()
    assert b"40 100\r\n" in b"".join(seen)
    other = await sandbox.pty.create(a3s.PtySize(rows=30, cols=90), on_data=seen.append)
    again = await sandbox.pty.connect(other.pid, on_data=seen.append)
    assert await sandbox.pty.kill(again.pid)


async def files(sandbox):
    async def parts():
        for _ in range(10):
            yield b"0123456789" * 10_000

    fs = sandbox.files
    home = (await sandbox.get_info()).cwd
    assert (await fs.write("af/a.txt", "content é")).path == f"{home}/af/a.txt"
    await fs.write_files([{"path": "af/one", "data": b"1"}, {"path": "af/large", "data": parts()}])
    assert await fs.read("af/a.txt") == "content é"
    assert len(await fs.read("af/large", format="bytes")) == 1_000_000
    async with await fs.read("af/large", format="stream") as stream:
        assert sum([len(part) async for part in stream]) == 1_000_000
    assert [one.name for one in await fs.list("af")] == ["a.txt", "large", "one"]
    assert (await fs.make_dir("am/n"), await fs.make_dir("am/n")) == (True, False)
    assert (await fs.rename("af/one", "am/n/two")).path == f"{home}/am/n/two"
    assert await fs.exists("am/n/two") and not await fs.exists("af/one")
    assert (await fs.get_info("am/n/two")).size == 1
    seen, ended = [], []
    watch = await fs.watch_dir("am", on_event=seen.append, on_exit=ended.append, recursive=True, timeout=0)
    await fs.write("am/n/new", "1")
    await until("it is seen", lambda: "n/new" in [one.name for one in seen])
    await watch.stop()
    assert ended == [None]
    await fs.remove("am")
    await fs.remove("am")
    for call in (fs.read("none"), fs.watch_dir("none", on_event=print)):
        with pytest.raises(a3s.FileNotFoundException):
            await call

    async def breaks():
        yield b"x" * 300_000
        raise KeyError("of the test")

    with pytest.raises(KeyError):
        await fs.write("ahalf", breaks())
    assert not await fs.exists("ahalf")


async def ports(sandbox):
    server = await sandbox.commands.start(
        "exec python3 -u -c \"import socket\ns=socket.create_server(('127.0.0.1',7080))\nprint('up')\n"
        "while 1:\n c,_=s.accept()\n d=b''\n while 1:\n  p=c.recv(9999)\n  if not p: break\n  d+=p\n"
        " c.sendall(d.upper()); c.close()\"",
        timeout=0,
    )
    await until("it listens", lambda: server.stdout == "up\n")

    async def talk(connection):
        reader, writer = connection
        writer.write(b"abc" * 50_000)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    assert await talk(await sandbox.ports.connect(7080)) == b"ABC" * 50_000
    async with await sandbox.ports.forward(7080) as forward:
        assert await talk(await asyncio.open_connection(forward.host, forward.port)) == b"ABC" * 50_000
    with pytest.raises(a3s.FailedPreconditionException):
        await sandbox.ports.connect(7081)
    await server.kill()


async def facts(sandbox, endpoint):
    info = await sandbox.get_info()
    assert (info.template_id, info.state, info.metadata) == ("base", a3s.SandboxState.RUNNING, {"client": "async"})
    assert (await AsyncSandbox.get_info(sandbox.sandbox_id, endpoint=endpoint)).started_at == info.started_at
    await sandbox.set_timeout(3000)
    await AsyncSandbox.set_timeout(sandbox.sandbox_id, 2000)
    await AsyncSandbox.connect(sandbox.sandbox_id, timeout=2500)
    assert (await sandbox.get_metrics())[0].mem_total > 0
    query = a3s.SandboxQuery(metadata={"client": "async"})
    assert [one.sandbox_id async for one in AsyncSandbox.list(query=query)] == [sandbox.sandbox_id]
    assert await sandbox.is_running()
    assert await sandbox.pause() and await AsyncSandbox.pause(sandbox.sandbox_id)
    assert (await sandbox.get_info()).state is a3s.SandboxState.PAUSED
    assert (await sandbox.resume()).state is a3s.SandboxState.RUNNING


async def gone(sandbox):
    assert not await sandbox.kill() and not await sandbox.is_running()
    for call in (sandbox.commands.run("true"), sandbox.files.read("a"), sandbox.get_info(), sandbox.ports.connect(80)):
        with pytest.raises(a3s.SandboxNotFoundException):
            await call
