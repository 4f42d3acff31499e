"""Files that are replaced whole: a reader, or a crash at any moment, finds the old content or the new."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def replace(file: Path, payload: bytes) -> None:
    """Write beside the file (renaming is atomic only within a file system), flush to disk, rename over it."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Replace a file by ``content`` as indented JSON."""
    replace(file, (json.dumps(content, indent=2) + "\n").encode())
