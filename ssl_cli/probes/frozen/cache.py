"""Features kept in a run, so that the next probe need not compute them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ssl_cli.probes.frozen.shelf import Shelf

LIMIT = 2 << 30  # bytes of features that are kept in a run


@dataclass
class FeatureCache:
    """Features kept in a run's directory, each file named by all that they depend on."""

    directory: Path
    hits: int = 0
    misses: int = 0
    failure: OSError | None = None  # of the last attempt to keep some
    shelf: Shelf = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.directory, LIMIT)

    def get(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the features [n, d] of that name; if there are none, or damaged ones, compute and keep them."""
        found = self.shelf.get(key)
        if found is not None and "features" in found:
            self.hits += 1
            return torch.from_numpy(found["features"])
        features = compute()
        self.misses += 1
        try:
            self.shelf.put(key, features=features.numpy())
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
        return f"{how} {self.directory} ({self.shelf.size() / 2**20:.1f} MiB)"
