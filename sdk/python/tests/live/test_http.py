"""What goes by HTTP/1.1 alone, and what says that it does not."""

import asyncio

import pytest

import a3s_box_sdk as a3s
from a3s_box_sdk import AsyncSandbox, Sandbox


def test_what_rest_has(endpoint):
    made = Sandbox.create(timeout=600, protocol="http", metadata={"by": "http"})
    sandbox = Sandbox.connect(made.sandbox_id, timeout=700, protocol="http")
    try:
        assert sandbox.get_info().metadata == {"by": "http"}
        sandbox.set_timeout(900)
        query = a3s.SandboxQuery(metadata={"by": "http"}, state=[a3s.SandboxState.RUNNING])
        found = Sandbox.list(query=query, protocol="http").next_items()
        assert [one.sandbox_id for one in found] == [sandbox.sandbox_id]
        ran = sandbox.commands.run("echo out; echo err >&2")
        assert (ran.stdout, ran.stderr) == ("out\n", "err\n")
        with pytest.raises(a3s.CommandExitException) as failed:
            sandbox.commands.run("exit 3")
        assert failed.value.exit_code == 3
        large = bytes(range(256)) * 4000
        base = sandbox.get_info().cwd
        assert sandbox.files.write("h/large", large).path == f"{base}/h/large"
        assert bytes(sandbox.files.read(f"{base}/h/large", format="bytes")) == large
        sandbox.files.write("h/text", "é")
        assert [(one.name, one.size) for one in sandbox.files.list("h")] == [("large", len(large)), ("text", 2)]
        assert sandbox.files.exists("h/text") and sandbox.files.get_info("h").type is a3s.FileType.DIR
        sandbox.files.remove("h")
        assert not sandbox.files.exists("h")
        with pytest.raises(a3s.FileNotFoundException):
            sandbox.files.read("h/text")

        def breaks():
            yield b"x" * 300_000
            raise KeyError("of the test")

        with pytest.raises(KeyError):
            sandbox.files.write("half", breaks())
        assert not sandbox.files.exists("half")
        for call in (
            lambda: sandbox.commands.start("true"),
            sandbox.commands.list,
            lambda: sandbox.files.read("/etc/passwd"),
            lambda: sandbox.files.make_dir("d"),
            lambda: sandbox.files.watch_dir("."),
            lambda: sandbox.pty.create(a3s.PtySize(20, 80)),
            lambda: sandbox.ports.connect(80),
            sandbox.get_metrics,
        ):
            with pytest.raises(a3s.UnimplementedException, match="protocol: grpc"):
                call()
        asyncio.run(the_same_for_asyncio(sandbox.sandbox_id))
    finally:
        assert sandbox.kill()
    with pytest.raises(a3s.SandboxNotFoundException):
        sandbox.get_info()
    assert not sandbox.kill()


async def the_same_for_asyncio(sandbox_id):
    sandbox = await AsyncSandbox.connect(sandbox_id, protocol="http")
    assert (await sandbox.commands.run("echo out")).stdout == "out\n"
    await sandbox.files.write("a", b"x" * 200_000)
    assert len(await sandbox.files.read("a", format="bytes")) == 200_000
    with pytest.raises(a3s.UnimplementedException):
        await sandbox.commands.start("true")
