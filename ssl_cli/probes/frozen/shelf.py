"""Arrays that are kept for the next command, in a directory that does not grow beyond a limit."""

import contextlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_cli.system.atomic import replace


@dataclass
class Shelf:
    """Files of arrays, each named by all that its content depends on; the least recently used leave first."""

    directory: Path
    limit: int  # bytes

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """Return the arrays of that name; None if there are none, or damaged ones."""
        file = self.directory / f"{key}.npz"
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # it has a checksum
            with np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
            with contextlib.suppress(OSError):  # somebody else's
                os.utime(file)
            return arrays
        return None

    def put(self, key: str, **arrays: np.ndarray) -> None:
        """Keep arrays under a name; those that are larger than the limit are not kept.

        Raises:
            OSError: they cannot be written.
        """
        if sum(array.nbytes for array in arrays.values()) > self.limit:
            return
        self.directory.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        file = self.directory / f"{key}.npz"
        replace(file, buffer.getvalue())
        self._shrink(file)

    def size(self) -> int:
        """Return how many bytes are kept."""
        return sum(size for _, size, _ in self._files())

    def _shrink(self, newest: Path) -> None:
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, file in files:
            if total > self.limit and file != newest:
                file.unlink(missing_ok=True)
                total -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return when each file was used last, and its bytes."""
        found = []
        for file in self.directory.glob("*.npz"):
            with contextlib.suppress(OSError):  # another process has removed it
                about = file.stat()
                found.append((about.st_mtime, about.st_size, file))
        return found
