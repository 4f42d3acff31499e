"""Scores of the baselines, kept between commands: of the same data by the same settings and code they are the same."""

import contextlib
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ssl_cli
from ssl_cli.data.base import Data, Raw
from ssl_cli.data.images.files.cache import user_cache_dir
from ssl_cli.data.info import DataInfo
from ssl_cli.probes.base import Probe, Result
from ssl_cli.probes.frozen.shelf import Shelf
from ssl_cli.probes.frozen.subject import FrozenModel

LIMIT = 64 << 20  # bytes of scores and predictions that are kept
LIBRARIES = ("torch", "torchvision", "timm", "transformers", "tokenizers", "scikit-learn", "scipy", "numpy", "pillow")
KNOWN = {"ssl_cli", "torch", "torchvision", "timm", "transformers"}  # whose code its version, or digest, tells
Found = list[tuple[Result, dict | None]]  # results, and their metrics without test inputs that are in train


@dataclass
class KeptScores:
    """What probes have found on baselines of some data, in files named by all that it depends on.

    A baseline has seen no training, so its scores follow from the inputs, their labels and splits, the settings and
    the code. If one of these is not known for sure (a network or a probe of the user's), nothing is kept.

    Args:
        data: the inputs.
        info: of what the networks were trained on.
        labelled: [n] positions of the train inputs whose label may be used.
        facts: all else that the features and scores of any network depend on, as plain values.
        network: the settings of the networks.
    """

    data: Data
    info: DataInfo
    labelled: Tensor
    facts: tuple
    network: Mapping[str, Any]
    earlier: list[str] = field(default_factory=list)  # models whose scores were there

    def key(self, model: FrozenModel, probe: Probe) -> str | None:
        """Return the name of a probe's results on a model; None if they are not to be kept."""
        network = model.network
        written_in = {type(part).__module__.split(".")[0] for part in (probe, self.data, self.info, *network.modules())}
        if not probe.features_alone or not written_in <= KNOWN:
            return None
        settings = {name: value for name, value in vars(probe).items() if name != "notices"}
        facts = [type(probe).__qualname__, settings, type(network).__qualname__]
        facts += [] if isinstance(network, Raw) else [self.network, model.weights]
        try:
            text = json.dumps([self._common, *facts], sort_keys=True)
        except TypeError:  # a setting that is no plain value
            return None
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def get(self, model: str, key: str) -> Found | None:
        """Return what was kept under a name of ``key``; None if nothing was."""
        arrays = self._shelf.get(key)
        if not arrays:
            return None
        found: Found = []
        with contextlib.suppress(ValueError, KeyError, TypeError):
            for i, (values, again) in enumerate(json.loads(arrays["results"].tobytes())):
                predicted = torch.from_numpy(arrays[str(i)]) if str(i) in arrays else None
                found.append((Result(**values, predicted=predicted), again))
            self.earlier += [] if model in self.earlier else [model]
            return found
        return None

    def put(self, key: str, found: Found) -> None:
        """Keep results, without what only the trained model's are asked for: heads and labels of the train split."""
        names = ("probe", "labels", "metrics", "settings", "n", "chosen", "target")
        plain = [[{name: getattr(result, name) for name in names}, again] for result, again in found]
        arrays = {str(i): r.predicted.cpu().numpy() for i, (r, _) in enumerate(found) if r.predicted is not None}
        with contextlib.suppress(TypeError, OSError):  # a value that is not plain; a place that cannot be written
            text = json.dumps(plain).encode()
            self._shelf.directory.parent.mkdir(parents=True, exist_ok=True)
            self._shelf.put(key, results=np.frombuffer(text, np.uint8), **arrays)

    def told(self) -> str:
        """Return one line about baselines whose scores come from an earlier run; "" if there are none."""
        if not self.earlier:
            return ""
        return f"{' and '.join(self.earlier)}: scored in an earlier run of the same data ({self._shelf.directory})"

    @functools.cached_property
    def _shelf(self) -> Shelf:
        return Shelf(user_cache_dir() / "baselines", LIMIT)

    @functools.cached_property
    def _common(self) -> list:
        d = self.data
        digest = hashlib.sha256(d.digest().encode())
        for kind in ({"labels": d.labels, "labelled": self.labelled}, d.splits, d.factors):
            for name, values in sorted(kind.items()):
                digest.update(f"{name} {values.dtype} {len(values)}\n".encode())
                digest.update(values.cpu().contiguous().numpy())
        info = [type(self.info).__qualname__, self.info.to_dict(), self.info.made_by]
        return [code(), versions(), type(d).__qualname__, d.name, d.classes, digest.hexdigest(), *info, *self.facts]


@functools.cache
def code() -> str:
    """Return the sha256 of this program's code: another one may find other scores."""
    root, digest = Path(ssl_cli.__file__).parent, hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str | None]:
    """Return the versions of the libraries that compute."""
    found: dict[str, str | None] = dict.fromkeys(LIBRARIES)
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
