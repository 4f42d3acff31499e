"""Features kept in a run, so that the next probe need not compute them."""

import contextlib
import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl_cli.system.atomic import replace

LIMIT = 2 << 30  # bytes of features that are kept in a run; the least recently used go first


@dataclass
class FeatureCache:
    """Features kept in a run's directory, each file named by all that they depend on."""

    directory: Path
    hits: int = 0
    misses: int = 0
    failure: OSError | None = None  # of the last attempt to keep some

    def get(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the features [n, d] of that name; if there are none, or damaged ones, compute and keep them."""
        file = self.directory / f"{key}.npz"
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # it has a checksum
            features = torch.from_numpy(np.load(file, allow_pickle=False)["features"])
            os.utime(file)
            self.hits += 1
            return features
        features = compute()
        self.misses += 1
        if features.numel() * 4 <= LIMIT:
            try:
                self.directory.mkdir(exist_ok=True)
                buffer = io.BytesIO()
                np.savez(buffer, features=features.numpy())
                replace(file, buffer.getvalue())
                self._shrink(file)
            except OSError as error:  # a full disk or a run of somebody else's: they are computed again
                self.failure = error
        return features

    def told(self) -> str:
        """Return one line about what was kept and what was found, or nothing where neither was tried."""
        if self.failure is not None:
            return f"the features are not kept: cannot write {self.directory}: {self.failure.strerror}"
        if not self.hits + self.misses:
            return ""
        how = "features computed and kept in" if self.misses else "features from cache:"
        return f"{how} {self.directory} ({self.size() / 2**20:.1f} MiB)"

    def size(self) -> int:
        """Return how many bytes are kept."""
        return sum(file.stat().st_size for file in self.directory.glob("*.npz"))

    def _shrink(self, newest: Path) -> None:
        files = sorted((f for f in self.directory.glob("*.npz") if f != newest), key=lambda f: f.stat().st_mtime)
        while files and self.size() > LIMIT:
            files.pop(0).unlink()
