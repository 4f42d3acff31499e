"""One process at a time works in a run directory: the second is told who does; a dead one's lock is taken over."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from ssl_cli.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
NAME = "lock"  # {"pid", "host", "since"} of the holder


class RunLock:
    """A context that holds the lock of a run directory.

    The system's lock on the file (``flock``) decides, which ends with its holder, however that dies. Where a file
    system has none, the holder's process number does, if it is of this machine.

    Raises:
        UserError: another process holds it, or the directory cannot be written; on entering.
    """

    def __init__(self, directory: Path):
        self.file = directory / NAME
        self.descriptor: int | None = None

    def __enter__(self) -> "RunLock":
        while self.descriptor is None:
            try:
                descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise UserError(f"cannot write to {self.file.parent}: {error.strerror}") from error
            try:
                if not _take(descriptor, self.file):
                    raise UserError(_held(self.file))
                if _same(descriptor, self.file):  # else its holder has ended, and removed it, in between
                    self.descriptor = descriptor
            finally:
                if self.descriptor is None:
                    os.close(descriptor)
        content = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.truncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps(content).encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        self.file.unlink(missing_ok=True)
        os.close(self.descriptor)
        self.descriptor = None


def read_holder(file: Path) -> dict[str, Any]:
    """Return who holds, or held, a lock; ``{}`` where nothing is known."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def holder_lives(file: Path) -> bool:
    """Tell whether the process that a lock names is there; True where it is of another machine."""
    holder = read_holder(file)
    if not holder or holder.get("pid") == os.getpid():
        return False
    if holder.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(holder["pid"]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:  # it is there, and somebody else's
        return True
    return True


def _take(descriptor: int, file: Path) -> bool:
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            pass
    return not holder_lives(file)


def _same(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except OSError:
        return False


def _held(file: Path) -> str:
    holder = read_holder(file)
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, since {holder.get('since', '?')}"
    return f"{file.parent} is in use by {who}; stop that, or wait for it (if it is gone for certain, delete {file})"
