"""Where the runtime is looked for, and what is said where it isn't."""

import os
import socket
import threading

import pytest

import a3s_box_sdk as a3s
from a3s_box_sdk import _endpoint
from a3s_box_sdk._endpoint import ConnectionOptions, find, parse
from a3s_box_sdk._host import host_of


@pytest.mark.parametrize(
    "said, family, place",
    [
        ("unix:///var/run/a3s/a3s-box.sock", "unix", ("/var/run/a3s/a3s-box.sock", 0)),
        ("tcp://localhost:4088", "tcp", ("localhost", 4088)),
        ("http://127.0.0.1:4088/", "tcp", ("127.0.0.1", 4088)),
        ("box.example:1", "tcp", ("box.example", 1)),
        ("[::1]:4088", "tcp", ("::1", 4088)),
        ("https://box.example", "tls", ("box.example", 443)),
        ("https://box.example:8443/", "tls", ("box.example", 8443)),
        ("vsock://2:4088", "vsock", ("2", 4088)),
    ],
)
def test_addresses_that_are_known(said, family, place):
    assert parse(said) == (family, place)


@pytest.mark.parametrize(
    "said",
    ["unix://relative", "localhost", "tcp://localhost", "tcp://localhost:0", "tcp://localhost:99999", "https://"]
    + ["https://box.example/path", "https://box.example:x", "https://me@box.example", "vsock://2", "vsock://x:1"]
    + ["vsock://99999999999:1", "ftp://box.example:21", "", "::1:4088", "a b:1"],
)
def test_addresses_that_are_not_are_refused_with_those_that_are(said):
    with pytest.raises(a3s.InvalidArgumentException, match="vsock://2:4088"):
        parse(said)


def test_what_is_said_goes_before_the_environment_and_that_before_looking(tmp_path):
    token = tmp_path / "token"
    token.write_text("of the file\n")
    env = {"A3S_BOX_ENDPOINT": "tcp://a:1", "A3S_BOX_TOKEN": "of the variable", "A3S_BOX_PROTOCOL": "http"}
    assert find(ConnectionOptions(endpoint="b:2", token="said", protocol="grpc"), env) == _endpoint.Endpoint(
        "b:2", "tcp", ("b", 2), token="said", protocol="grpc"
    )
    found = find(ConnectionOptions(), env)
    assert (found.address, found.token, found.protocol) == ("tcp://a:1", "of the variable", "http")
    assert find(ConnectionOptions(), {**env, "A3S_BOX_TOKEN_FILE": str(token)}).token == "of the file"
    assert "of the file" not in repr(find(ConnectionOptions(), {**env, "A3S_BOX_TOKEN_FILE": str(token)}))
    with pytest.raises(a3s.InvalidArgumentException, match="/no/such"):
        find(ConnectionOptions(), {**env, "A3S_BOX_TOKEN_FILE": "/no/such"})
    with pytest.raises(a3s.InvalidArgumentException, match="grpc or http"):
        find(ConnectionOptions(protocol="smtp"), env)


def test_looking_takes_the_socket_then_the_port_then_says_what_it_tried(tmp_path, monkeypatch):
    path = str(tmp_path / "s.sock")
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    monkeypatch.setattr(_endpoint, "USUAL_SOCKET", path)
    monkeypatch.setattr(_endpoint, "USUAL_PORT", port)
    with pytest.raises(a3s.UnavailableException) as nobody:
        find(ConnectionOptions(), {"A3S_BOX_ENDPOINT": ""})
    for word in (f"unix://{path} (No such file", f"tcp://127.0.0.1:{port} (", "serve --sandboxes", "A3S_BOX_ENDPOINT"):
        assert word in str(nobody.value)
    assert nobody.value.stage == "endpoint" and "A3S_BOX_ENDPOINT" in (nobody.value.hint or "")
    closed.listen()
    assert find(ConnectionOptions(), {}).address == f"tcp://127.0.0.1:{port}"
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(path)
    assert find(ConnectionOptions(), {}).family == "tcp", "a socket that nobody serves is not the end"
    left_behind.listen()
    assert find(ConnectionOptions(), {}).address == f"unix://{path}"
    for one in (closed, left_behind):
        one.close()


def test_hosts_of_ports(monkeypatch):
    monkeypatch.delenv("A3S_BOX_DOMAIN", raising=False)
    loopback = _endpoint.Endpoint("localhost:4088", "tcp", ("localhost", 4088))
    far = _endpoint.Endpoint("unix:///s", "unix", ("/s", 0))
    assert host_of(80, "abc", far, "box.example") == "80-abc.box.example"
    assert host_of(80, "abc", loopback, None) == "80-abc.localhost:4088"
    with pytest.raises(a3s.InvalidArgumentException, match=r"ports\.forward\(80\)"):
        host_of(80, "abc", far, None)


def test_a_bridge_carries_both_directions_and_their_ends():
    from a3s_box_sdk._bridge import open_bridge

    server = socket.create_server(("127.0.0.1", 0))

    def upper():
        inner, _ = server.accept()
        whole = b""
        while True:
            part = inner.recv(65536)
            if not part:
                break
            whole += part
        inner.sendall(whole.upper())
        inner.close()

    threading.Thread(target=upper, daemon=True).start()
    path = open_bridge(lambda: socket.create_connection(server.getsockname(), 10))
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(path)
    client.sendall(b"abc" * 100_000)
    client.shutdown(socket.SHUT_WR)
    answer = b""
    while True:
        part = client.recv(65536)
        if not part:
            break
        answer += part
    assert answer == b"ABC" * 100_000
    client.close()
    refused = open_bridge(lambda: socket.create_connection(("127.0.0.1", 1), 1))
    other = socket.socket(socket.AF_UNIX)
    other.settimeout(20)
    other.connect(refused)
    assert other.recv(1) == b"", "where nobody listens, the connection is closed"
    other.close()
    server.close()
