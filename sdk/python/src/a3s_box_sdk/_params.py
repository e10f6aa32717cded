"""What every call that may open a connection takes, by name."""

from __future__ import annotations

from typing import Any, Dict, Optional, TypedDict

from ._endpoint import ConnectionOptions

REQUEST_SECONDS = 60.0
CREATE_SECONDS = 300.0


class ConnectionParams(TypedDict, total=False):
    endpoint: Optional[str]
    """"unix:///path", "tcp://host:port", "host:port", "https://host", "vsock://CID:PORT"."""
    token: Optional[str]
    api_key: Optional[str]
    """The same as `token`: E2B's name."""
    ca: Optional[str]
    """PEM text of who has signed the server's certificate."""
    cert: Optional[str]
    key: Optional[str]
    protocol: Optional[str]
    """"grpc", or "http" for a way that passes HTTP/1.1 alone."""
    domain: Optional[str]
    """Names below it lead to ports of sandboxes: for `get_host`."""
    request_timeout: Optional[float]
    """Seconds for one answer."""
    reconnect_timeout: Optional[float]
    """Seconds for which whoever was connected waits for a server that has gone."""
    api_url: Optional[str]
    """E2B's, as the next four: taken and not used."""
    sandbox_url: Optional[str]
    debug: Optional[bool]
    headers: Optional[Dict[str, str]]
    proxy: Any


def connection_of(params: ConnectionParams) -> ConnectionOptions:
    return ConnectionOptions(
        endpoint=params.get("endpoint"),
        token=params.get("token") or params.get("api_key"),
        ca=params.get("ca"),
        cert=params.get("cert"),
        key=params.get("key"),
        protocol=params.get("protocol"),
    )
