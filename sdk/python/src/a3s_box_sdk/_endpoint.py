"""Where the runtime is: said by an option or the environment, or found by looking."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
from dataclasses import dataclass, field
from typing import List, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from .exceptions import InvalidArgumentException, UnavailableException

USUAL_SOCKET = "/var/run/a3s/a3s-box.sock"
USUAL_PORT = 4088
LOOK_SECONDS = 2.0
FORMS = "unix:///var/run/a3s/a3s-box.sock, tcp://localhost:4088, localhost:4088, https://box.example, vsock://2:4088"
WHAT_TO_DO = "start one with `a3s-box serve --sandboxes --cri off`, or set A3S_BOX_ENDPOINT"

_host_port = re.compile(r"^(?:(?:tcp|http)://)?(\[[0-9a-fA-F:.]+\]|[^:/\s\[\]]+):(\d{1,5})/?$")
_vsock = re.compile(r"^vsock://(\d{1,10}):(\d{1,10})/?$")


@dataclass(frozen=True)
class Endpoint:
    """One address, and what is said to whoever serves there."""

    address: str
    """As it was said: for messages."""
    family: str
    """"unix", "tcp", "tls" or "vsock"."""
    place: Tuple[str, int]
    """Path and 0; host and port; CID and port."""
    token: Optional[str] = field(default=None, repr=False)
    ca: Optional[str] = field(default=None, repr=False)
    cert: Optional[str] = field(default=None, repr=False)
    key: Optional[str] = field(default=None, repr=False)
    protocol: str = "grpc"

    @property
    def is_loopback(self) -> bool:
        if self.family != "tcp":
            return False
        host = self.place[0]
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def dial(self, timeout: float) -> socket.socket:
        """A connection of bytes; TLS is its user's."""
        where, port = self.place
        if self.family == "unix":
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target: object = where
        elif self.family == "vsock":
            if not hasattr(socket, "AF_VSOCK"):
                raise OSError("this Python has no vsock")
            connection = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
            target = (int(where), port)
        else:
            return socket.create_connection((where, port), timeout)
        try:
            connection.settimeout(timeout)
            connection.connect(target)  # type: ignore[arg-type]
        except BaseException:
            connection.close()
            raise
        return connection


def parse(address: str) -> Tuple[str, Tuple[str, int]]:
    """Family and place of what was said."""
    if address.startswith("unix://"):
        path = address[len("unix://") :]
        if path.startswith("/"):
            return "unix", (path, 0)
    elif address.startswith("https://"):
        url = urlsplit(address)
        try:
            port = url.port or 443
        except ValueError:
            port = 0
        if url.hostname and port and url.path in ("", "/") and not url.query and "@" not in url.netloc:
            return "tls", (url.hostname, port)
    elif address.startswith("vsock://"):
        found = _vsock.match(address)
        if found and int(found[1]) < 2**32 and int(found[2]) < 2**32:
            return "vsock", (found[1], int(found[2]))
    else:
        found = _host_port.match(address)
        if found and 0 < int(found[2]) < 65536:
            return "tcp", (found[1].strip("[]"), int(found[2]))
    raise InvalidArgumentException(f'"{address}" is no endpoint ({FORMS})', stage="endpoint")


@dataclass(frozen=True)
class ConnectionOptions:
    """What every call that may open a connection takes."""

    endpoint: Optional[str] = None
    token: Optional[str] = None
    ca: Optional[str] = None
    cert: Optional[str] = None
    key: Optional[str] = None
    protocol: Optional[str] = None


def find(options: ConnectionOptions, environment: Optional[Mapping[str, str]] = None) -> Endpoint:
    """The option's, else the environment's, else what answers: the node's socket, then this machine's port 4088."""
    env = os.environ if environment is None else environment
    said = options.endpoint or env.get("A3S_BOX_ENDPOINT")
    if said:
        return _of(said, options, env)
    tried: List[str] = []
    for address in (f"unix://{USUAL_SOCKET}", f"tcp://127.0.0.1:{USUAL_PORT}"):
        candidate = _of(address, options, env)
        failure = _why_not(candidate)
        if failure is None:
            return candidate
        tried.append(f"{address} ({failure})")
    raise UnavailableException(f"nobody serves sandboxes at {' or '.join(tried)} ({WHAT_TO_DO})", stage="endpoint")


def _why_not(endpoint: Endpoint) -> Optional[str]:
    path = endpoint.place[0]
    try:
        if endpoint.family == "unix" and not stat.S_ISSOCK(os.stat(path).st_mode):
            return "not a socket"
        endpoint.dial(LOOK_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _of(address: str, options: ConnectionOptions, env: Mapping[str, str]) -> Endpoint:
    family, place = parse(address)
    protocol = options.protocol or env.get("A3S_BOX_PROTOCOL") or "grpc"
    if protocol not in ("grpc", "http"):
        raise InvalidArgumentException(f'"{protocol}" is no protocol (grpc or http)', stage="endpoint")
    return Endpoint(
        address,
        family,
        place,
        token=options.token or _token(env),
        ca=options.ca or _file(env.get("A3S_BOX_CA_FILE")),
        cert=options.cert,
        key=options.key,
        protocol=protocol,
    )


def _token(env: Mapping[str, str]) -> Optional[str]:
    from_file = _file(env.get("A3S_BOX_TOKEN_FILE"))
    return from_file.strip() if from_file is not None else env.get("A3S_BOX_TOKEN") or None


def _file(path: Optional[str]) -> Optional[str]:
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise InvalidArgumentException(f"{path}: {error.strerror}", stage="endpoint") from error
