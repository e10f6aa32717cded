"""What a gRPC channel to an endpoint is made of, for both clients."""

from __future__ import annotations

import os
import ssl
from typing import List, Optional, Tuple, Union

import grpc

from ._bridge import bridge_to
from ._endpoint import Endpoint

_MOST_BYTES = 16 * 1024 * 1024
_CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def target_of(endpoint: Endpoint) -> str:
    where, port = endpoint.place
    if endpoint.family == "unix":
        return f"unix://{where}"
    if endpoint.family == "vsock":
        # gRPC's wheels are built without vsock: it dials a socket of ours, which is joined with one.
        return f"unix://{bridge_to(endpoint)}"
    return f"[{where}]:{port}" if ":" in where else f"{where}:{port}"


def options_of(endpoint: Endpoint) -> List[Tuple[str, Union[str, int]]]:
    options: List[Tuple[str, Union[str, int]]] = [
        ("grpc.max_receive_message_length", _MOST_BYTES),
        ("grpc.max_send_message_length", _MOST_BYTES),
        # A daemon that is back is seen soon, and by this channel alone.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.enable_retries", 0),
    ]
    if endpoint.family in ("unix", "vsock"):
        options.append(("grpc.default_authority", "localhost"))
    if endpoint.family != "tls":
        options.append(("grpc.enable_http_proxy", 0))
    return options


def credentials_of(endpoint: Endpoint) -> Optional[grpc.ChannelCredentials]:
    """None: plaintext."""
    if endpoint.family != "tls":
        return None
    key, cert = endpoint.key, endpoint.cert
    return grpc.ssl_channel_credentials(
        root_certificates=endpoint.ca.encode() if endpoint.ca else _system_roots(),
        private_key=None if key is None else key.encode(),
        certificate_chain=None if cert is None else cert.encode(),
    )


def metadata_of(endpoint: Endpoint) -> Tuple[Tuple[str, str], ...]:
    return () if endpoint.token is None else (("authorization", f"Bearer {endpoint.token}"),)


def _system_roots() -> Optional[bytes]:
    """gRPC has a list of its own; what this machine trusts comes first."""
    for path in (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_CA_FILES):
        if path and os.path.isfile(path):
            with open(path, "rb") as file:
                return file.read()
    return None
