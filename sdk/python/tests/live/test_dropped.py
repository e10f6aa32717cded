"""Connections that are cut under the clients, by a proxy that cuts them when it is told to: nothing is lost or doubled."""

import asyncio
import hashlib
import socket
import threading
import time

import pytest

import a3s_box_sdk as a3s
from a3s_box_sdk import AsyncSandbox, Sandbox
from a3s_box_sdk._bridge import copy
from a3s_box_sdk._endpoint import ConnectionOptions, find


class Proxy:
    """A port of this machine in front of the runtime."""

    def __init__(self, endpoint):
        self._endpoint = find(ConnectionOptions(endpoint=endpoint))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = []
        self.connections = 0
        self.address = "tcp://127.0.0.1:%d" % self._listener.getsockname()[1]
        self.cuts_after = None
        """The next connection is cut when so many bytes have gone to the runtime, before an answer can come."""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            inner, _ = self._listener.accept()
            self.connections += 1
            outer = self._endpoint.dial(10)
            outer.settimeout(None)
            self._open.append((inner, outer))
            threading.Thread(target=copy, args=(outer, inner), daemon=True).start()
            threading.Thread(target=self._outward, args=(inner, outer), daemon=True).start()

    def _outward(self, inner, outer):
        try:
            while True:
                data = inner.recv(65536)
                if not data:
                    break
                outer.sendall(data)
                if self.cuts_after is not None and self.cuts_after in data:
                    self.cuts_after = None
                    inner.shutdown(socket.SHUT_RDWR)
                    time.sleep(0.3)  # The runtime has it, and works on it.
                    outer.shutdown(socket.SHUT_RDWR)
                    return
        except OSError:
            pass

    def cut(self):
        while self._open:
            for end in self._open.pop():
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()


@pytest.fixture(scope="module")
def proxy(endpoint):
    return Proxy(endpoint)


@pytest.fixture(autouse=True)
def seen(proxy):
    """A test in which no connection was cut has shown nothing."""
    before = proxy.connections
    yield
    assert proxy.connections > before and proxy.cuts_after is None


@pytest.fixture(scope="module")
def sandbox(proxy):
    made = Sandbox.create(timeout=600, endpoint=proxy.address)
    yield made
    made.kill()


LINES = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); printf '%s\\n' $i; printf '%070000d' 0 >&2; sleep 0.05; done"
EXPECTED = ("".join(f"{line}\n" for line in range(1, 41)), "0" * 70_000 * 40)


def test_output_goes_on_behind_the_last_byte(sandbox, proxy):
    heard = []

    def cutting(_):
        heard.append(1)
        if len(heard) % 10 == 0:
            proxy.cut()

    ran = sandbox.commands.run(LINES, on_stdout=cutting)
    assert (ran.stdout, ran.stderr, ran.lost_bytes) == (*EXPECTED, 0)
    handle = sandbox.commands.start(LINES, timeout=0)
    assert [proxy.cut() or 1 for _ in zip(range(3), handle.output())] == [1, 1, 1]
    assert (handle.wait().stdout, handle.stderr) == EXPECTED


def test_output_goes_on_for_asyncio_too(sandbox, proxy):
    async def main():
        one = await AsyncSandbox.connect(sandbox.sandbox_id, endpoint=proxy.address)
        heard = []

        async def cutting(_):
            heard.append(1)
            if len(heard) % 10 == 0:
                proxy.cut()

        ran = await one.commands.run(LINES, on_stdout=cutting)
        assert (ran.stdout, ran.stderr) == EXPECTED
        content = bytes(range(256)) * 40_000
        await one.files.write("async", content)
        digest = hashlib.sha256()
        parts = 0
        async for part in await one.files.read("async", format="stream"):
            digest.update(part)
            parts += 1
            if parts % 60 == 0:
                proxy.cut()
        assert digest.digest() == hashlib.sha256(content).digest()

    asyncio.run(main())


def test_a_command_whose_start_is_cut_off_runs_once(sandbox, proxy):
    proxy.cuts_after = b"marker-of-the-test"
    ran = sandbox.commands.run("echo marker-of-the-test >> ran; cat ran")
    assert ran.stdout == "marker-of-the-test\n"
    assert sandbox.files.read("ran") == "marker-of-the-test\n"


def test_files_go_on_or_say_that_they_were_changed(sandbox, proxy):
    content = bytes(range(256)) * 40_000
    sandbox.files.write("large", content)
    with sandbox.files.read("large", format="stream") as reader:
        digest = hashlib.sha256(next(reader))
        for at, part in enumerate(reader):
            if at % 60 == 0:
                proxy.cut()
            digest.update(part)
    assert digest.digest() == hashlib.sha256(content).digest()
    with sandbox.files.read("large", format="stream") as reader:
        next(reader)
        proxy.cut()
        sandbox.files.write("large", content[:-1])
        with pytest.raises(a3s.UnavailableException, match="was changed"):
            for _ in reader:
                pass

    def once():
        yield content
        proxy.cut()
        yield content

    with pytest.raises(a3s.UnavailableException):
        sandbox.files.write("once", once())
    assert not sandbox.files.exists("once")
    proxy.cuts_after = b"again-and-again"
    sandbox.files.write("again", b"again-and-again" + content)
    assert sandbox.files.get_info("again").size == len(content) + 15


def test_what_may_have_been_done_is_not_done_again(sandbox, proxy):
    cat = sandbox.commands.start("cat", stdin=True, timeout=0)
    proxy.cuts_after = b"typed-once"
    with pytest.raises(a3s.UnavailableException, match="may have arrived"):
        cat.send_stdin("typed-once\n")
    assert sandbox.get_info().sandbox_id == sandbox.sandbox_id, "what changes nothing is asked again"
    cat.close_stdin()
    assert cat.wait().stdout in ("typed-once\n", "")
