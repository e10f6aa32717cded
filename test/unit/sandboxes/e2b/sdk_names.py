"""Prints the public names of E2B's classes for Python, as JSON: both kinds, blocking and not, have the same."""
import json

from e2b.sandbox_async.commands.command import Commands as AsyncCommands
from e2b.sandbox_async.commands.pty import Pty as AsyncPty
from e2b.sandbox_async.filesystem.filesystem import Filesystem as AsyncFilesystem
from e2b.sandbox_sync.commands.command import Commands
from e2b.sandbox_sync.commands.pty import Pty
from e2b.sandbox_sync.filesystem.filesystem import Filesystem
from e2b_code_interpreter import AsyncSandbox, Sandbox


def names(*classes):
    return sorted({name for one in classes for name in dir(one) if not name.startswith("_")})


print(
    json.dumps(
        {
            "Sandbox": names(Sandbox, AsyncSandbox),
            "commands": names(Commands, AsyncCommands),
            "files": names(Filesystem, AsyncFilesystem),
            "pty": names(Pty, AsyncPty),
        }
    )
)
