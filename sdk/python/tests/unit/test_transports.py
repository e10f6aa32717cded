"""Each transport, with what is said over it, before a server of gRPC's and one of HTTP's."""

import asyncio
import concurrent.futures
import http.server
import json
import socket
import ssl
import subprocess
import threading

import grpc
import pytest

import a3s_box_sdk as a3s
from a3s_box_sdk import AsyncSandbox, Sandbox, _endpoint
from a3s_box_sdk._proto import sandboxes_pb2 as s

ID = "a" * 20


class Service(grpc.GenericRpcHandler):
    """Knows one sandbox, and remembers who has asked."""

    def __init__(self):
        self.tokens = []

    def service(self, call):
        self.tokens.append(dict(call.invocation_metadata).get("authorization"))
        if not call.method.endswith("/GetSandbox"):
            return None

        def get(request, context):
            if request.sandbox_id != ID:
                context.abort(grpc.StatusCode.NOT_FOUND, f"{request.sandbox_id} was not found")
            return s.GetSandboxResponse(sandbox=s.Sandbox(id=ID, template="base", state=s.SANDBOX_STATE_RUNNING))

        return grpc.unary_unary_rpc_method_handler(
            get, s.GetSandboxRequest.FromString, s.GetSandboxResponse.SerializeToString
        )


class Rest(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = ("tenant", "template", "image", "user", "working_dir", "pod_id", "container_id")
        said = {"id": ID, "state": "running", "network": "pod", "at_end": "end", "ends_with_owner": False}
        said.update(dict.fromkeys(names, "x"), vcpus=1, memory_mib=1, disk_mib=1, env={}, mounts=[], metadata={})
        said.update(started_at="2026-12-01T00:00:00.000Z", ends_at=None)
        said["user"] = self.headers.get("authorization") or ""
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, and what it vouches for: a server and a client."""
    directory = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=directory)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    signs = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2", *signs)
    for name in ("server", "client"):
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=DNS:localhost"]
        signed += ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "authorityKeyIdentifier=keyid"]
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
        openssl("req", "-x509", *key, *files, "-subj", f"/CN={name}", "-days", "2", *signed)
    return directory


@pytest.fixture(scope="module")
def service(certificates):
    handler = Service()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[handler])
    read = lambda name: (certificates / name).read_bytes()  # noqa: E731
    pairs = [(read("server.key"), read("server.pem"))]
    credentials = grpc.ssl_server_credentials(pairs, read("ca.pem"), require_client_auth=True)
    handler.path = str(certificates / "s.sock")
    server.add_insecure_port(f"unix://{handler.path}")
    handler.tcp = server.add_insecure_port("127.0.0.1:0")
    handler.tls = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield handler
    server.stop(0)


def ask(endpoint, **options):
    assert Sandbox.connect(ID, endpoint=endpoint, **options).get_info().state == "running"

    async def the_same():
        assert (await AsyncSandbox.connect(ID, endpoint=endpoint, **options)).sandbox_id == ID

    asyncio.run(the_same())
    with pytest.raises(a3s.SandboxNotFoundException):
        Sandbox.get_info("none", endpoint=endpoint, **options)


def test_unix_sockets_and_tcp_with_a_token_and_whatever_proxy_the_environment_has(service, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    for endpoint in (f"unix://{service.path}", f"tcp://localhost:{service.tcp}", f"127.0.0.1:{service.tcp}"):
        service.tokens.clear()
        ask(endpoint, api_key="secret")
        assert set(service.tokens) == {"Bearer secret"}


def test_tls_with_the_authority_that_is_said_and_a_certificate_of_the_client(service, certificates):
    text = lambda name: (certificates / name).read_text()  # noqa: E731
    endpoint = f"https://localhost:{service.tls}"
    mine = {"cert": text("client.pem"), "key": text("client.key")}
    ask(endpoint, ca=text("ca.pem"), **mine)
    for wrong in ({"ca": text("ca.pem")}, mine):
        with pytest.raises(a3s.UnavailableException):
            Sandbox.get_info(ID, endpoint=endpoint, **wrong)


def test_a_vsock_is_joined_with_what_grpc_dials(service, monkeypatch):
    dialled = []

    def dial(self, timeout):
        dialled.append(self.place)
        return socket.create_connection(("127.0.0.1", service.tcp), timeout)

    # Where tests run, no vsock leads anywhere: all but the family of the socket is real.
    monkeypatch.setattr(_endpoint.Endpoint, "dial", dial)
    ask("vsock://2:4088")
    assert set(dialled) == {("2", 4088)}


def test_http_over_tls_and_unix_sockets(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = lambda name: (certificates / name).read_text()  # noqa: E731
    options = {"ca": text("ca.pem"), "cert": text("client.pem"), "key": text("client.key"), "protocol": "http"}
    found = Sandbox.get_info(ID, endpoint=f"https://localhost:{server.server_port}", token="t", **options)
    assert (found.sandbox_id, found.user) == (ID, "Bearer t")
    with pytest.raises(a3s.UnavailableException):
        Sandbox.get_info(ID, endpoint=f"https://localhost:{server.server_port}", protocol="http")
    server.shutdown()

    class OnSocket(http.server.ThreadingHTTPServer):
        address_family = socket.AF_UNIX

        def server_bind(self):
            self.socket.bind(self.server_address)
            self.server_name, self.server_port = "localhost", 0

    Rest.address_string = lambda _: "socket"
    path = str(certificates / "h.sock")
    on_socket = OnSocket(path, Rest)
    threading.Thread(target=on_socket.serve_forever, daemon=True).start()
    assert Sandbox.get_info(ID, endpoint=f"unix://{path}", protocol="http").sandbox_id == ID
    on_socket.shutdown()


def test_nobody_at_an_address_is_said_at_once():
    with pytest.raises(a3s.UnavailableException, match="nobody serves sandboxes at tcp://127.0.0.1:1: .*A3S_BOX_ENDPOINT"):
        Sandbox.get_info(ID, endpoint="tcp://127.0.0.1:1")
    with pytest.raises(a3s.UnavailableException):
        Sandbox.get_info(ID, endpoint="tcp://127.0.0.1:1", protocol="http")


def test_time_that_an_app_takes_between_two_parts_is_not_the_runtimes():
    from a3s_box_sdk._sync.edge import Idle

    over = threading.Event()
    idle = Idle(0.2, over.set)
    idle.hold()
    assert not over.wait(0.7)
    idle.moved()
    assert over.wait(20) and idle.is_over

    async def the_same():
        from a3s_box_sdk._async.edge import AsyncIdle

        cancelled = asyncio.Event()
        one = AsyncIdle(0.2, cancelled.set)
        one.hold()
        await asyncio.sleep(0.7)
        assert not one.is_over
        one.moved()
        await asyncio.wait_for(cancelled.wait(), 20)
        assert one.is_over

    asyncio.run(the_same())
