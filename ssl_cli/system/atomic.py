"""Files that are replaced whole: a reader, or a crash at any moment, finds the old content or the new."""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ssl_cli.system import plain_json


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[BinaryIO]:
    """Open a file beside ``file`` that takes its name when it is whole and on the disk, and else vanishes.

    Beside it, because renaming is atomic only within a file system.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # the name, too, should be on the disk; not every system can do that
        directory = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextlib.contextmanager
def replacing_by_copy(source: Path, file: Path) -> Iterator[None]:
    """Replace ``file`` by a copy of ``source`` at the end: a link where the file system has links."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    try:
        try:
            os.link(source, temporary)
        except OSError:  # a file system without links
            shutil.copy2(source, temporary)
        yield
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def replace(file: Path, payload: bytes) -> None:
    """Replace a file by ``payload``."""
    with replacing(file) as stream:
        stream.write(payload)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Replace a file by ``content`` as indented JSON; a number that is not finite becomes null."""
    replace(file, (plain_json.dumps(content, indent=2) + "\n").encode())


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of killed writers from a directory; no other process may write there."""
    for file in directory.iterdir():
        if re.fullmatch(r"\..+\.[0-9a-f]{12}", file.name):
            file.unlink(missing_ok=True)
