"""The name by which a port of a sandbox is reached through the runtime's own."""

from __future__ import annotations

import os
from typing import Optional

from ._endpoint import Endpoint
from .exceptions import InvalidArgumentException


def host_of(port: int, sandbox_id: str, endpoint: Endpoint, domain: Optional[str]) -> str:
    name = domain or os.environ.get("A3S_BOX_DOMAIN")
    if name:
        return f"{port}-{sandbox_id}.{name}"
    if endpoint.is_loopback:
        return f"{port}-{sandbox_id}.localhost:{endpoint.place[1]}"
    words = f"no name leads to ports of sandboxes at {endpoint.address} (set A3S_BOX_DOMAIN, or use ports.forward({port}))"
    raise InvalidArgumentException(words, stage="get_host", sandbox_id=sandbox_id)
