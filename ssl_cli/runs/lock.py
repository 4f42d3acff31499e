"""One process at a time works in a run directory: a second one exits and names the first."""

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from ssl_cli.errors import UserError
from ssl_cli.system.atomic import write_json
from ssl_cli.system.processes import is_alive

NAME = "lock"  # held by the system: it ends with its holder, however that ends
HOLDER = "lock.json"  # {"pid", "host", "since"} of the holder


class RunLock:
    """A context that holds the lock of a run directory.

    Raises:
        UserError: another process holds it, or the directory cannot be written; on entering.
    """

    def __init__(self, directory: Path):
        from filelock import FileLock

        self.directory = directory
        self.lock = FileLock(directory / NAME, timeout=0)

    def __enter__(self) -> "RunLock":
        from filelock import Timeout

        try:
            self._acquire()
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            write_json(self.directory / HOLDER, holder)
        except Timeout as error:
            raise UserError(_in_use(self.directory)) from error
        except OSError as error:
            raise UserError(f"cannot write to {self.directory}: {error.strerror}") from error
        return self

    def _acquire(self) -> None:
        """Acquire the lock of the file that has the name now, not of one that its holder has just removed."""
        while True:
            before = _inode(self.directory / NAME)
            self.lock.acquire()
            now = _inode(self.directory / NAME)
            if now is not None and before in (None, now):
                return
            self.lock.release()

    def __exit__(self, *_: object) -> None:
        for name in (HOLDER, NAME):  # while it is held: nobody else writes them
            with contextlib.suppress(OSError):  # Windows does not remove what is open
                (self.directory / name).unlink(missing_ok=True)
        self.lock.release()


def read_holder(directory: Path) -> dict[str, Any]:
    """Return who holds, or held, the lock of a run; ``{}`` where nothing is known."""
    try:
        content = json.loads((directory / HOLDER).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def holder_lives(directory: Path) -> bool:
    """Return whether another process seems to work in a run; True where the holder is on another machine."""
    holder = read_holder(directory)
    if not isinstance(holder.get("pid"), int) or holder["pid"] == os.getpid():
        return False
    return holder.get("host") != socket.gethostname() or is_alive(holder["pid"])


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except FileNotFoundError:
        return None


def _in_use(directory: Path) -> str:
    holder = read_holder(directory)
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, since {holder.get('since', '?')}"
    return f"{directory} is in use by {who}; stop that process, or wait for it"
