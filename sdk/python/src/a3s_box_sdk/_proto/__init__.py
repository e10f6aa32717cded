"""The messages of the project's protos, made of their descriptors when they are imported.

The descriptors are this package's own (no other package's copy of the same protos is in the way), and nothing but public
calls of protobuf is used: whatever version an app has for its other packages does.
"""

from __future__ import annotations

from importlib import resources
from typing import Any, Dict

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_pool = descriptor_pool.DescriptorPool()


def _fill() -> None:
    found = descriptor_pb2.FileDescriptorSet()
    found.ParseFromString(resources.files(__name__).joinpath("descriptors.bin").read_bytes())
    for file in found.file:
        _pool.AddSerializedFile(file.SerializeToString())


_fill()


def load(path: str, into: Dict[str, Any]) -> None:
    """Puts a proto's message classes and the values of its enumerations into a module."""
    file = _pool.FindFileByName(path)
    for name, message in file.message_types_by_name.items():
        into[name] = message_factory.GetMessageClass(message)
    for enum in file.enum_types_by_name.values():
        into.update({value.name: value.number for value in enum.values})
