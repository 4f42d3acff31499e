"""What is known of weights that somebody else has trained: what they were trained with, and their licence."""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ssl_cli.data.info import DataInfo
from ssl_cli.data.pixels import for_channels

NON_COMMERCIAL = re.compile(r"(^|[-_ ])nc($|[-_ ])|non-?commercial|research[- ]only", re.I)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # of its pixels in [0, 1]


@dataclass(frozen=True)
class Origin:
    """Where a backbone's weights come from, and what belongs to them. A run and its checkpoints keep it."""

    weights: str  # as people call them
    file: str = ""  # that they were read from
    sha256: str = ""  # of the file
    tensors: int = 0  # that were taken: all of the network's
    part: str = ""  # what stood before their names in the file
    left: tuple[str, ...] = ()  # what is beside them there that a backbone has no place for
    licence: str | None = None  # None: not stated
    assumed: bool = False  # whether licence, mean, ... are what is usual for this network: the file says nothing
    mean: tuple[float, ...] | None = None  # of the normalisation that they were trained with; None: not known
    std: tuple[float, ...] | None = None
    size: int | None = None  # side of the images that they were trained on, in pixels
    interpolation: str | None = None  # by which these were resized: bilinear, bicubic, ...
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the backbone, that they need: {"stem": "imagenet"}
    inputs: Mapping[str, Any] = field(default_factory=dict)  # of a data set, likewise: {"tokenizer": "DIR"}

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.file)

    @property
    def non_commercial(self) -> bool:
        """Whether their licence forbids commercial use."""
        return self.licence is not None and NON_COMMERCIAL.search(self.licence) is not None

    def lines(self, info: DataInfo) -> list[tuple[str, str]]:
        """Return what a plan says of them, as (term, value).

        Args:
            info: what the run knows of its images; where it differs from what the weights were trained with, that is
                said.
        """
        left = sorted({name.split(".")[0] for name in self.left})
        taken = f"{self.tensors} tensors of {self.weights}" + (f", behind {self.part}" if self.part else "")
        taken += f"; left out: {', '.join(left)}" if left else ""
        licence = self.licence or "not stated; ask whoever published them"
        licence += f", that of the network's published weights{_ASSUMED}" if self.assumed and self.licence else ""
        licence += ": NOT for commercial use, and neither is what is trained from them" if self.non_commercial else ""
        kept = [("trained with", self._kept(info))] if info.kind == "image" else []
        return [("weights", taken), ("their licence", licence), *kept]

    def _kept(self, info: DataInfo) -> str:
        """Return what of the images is as the weights were trained, and what is not."""
        facts = []
        for name, theirs, here in (("mean", self.mean, info.mean), ("std", self.std, info.std)):
            if theirs is None:
                facts.append(f"an unknown {name}: here {_numbers(here)}")
            elif _close(for_channels(theirs, len(here)), here):
                facts.append(f"{name} {_numbers(here)}")
            else:
                facts.append(f"{name} {_numbers(theirs)}, NOT {_numbers(here)} as here")
        if self.size is not None:
            same = self.size == info.image_size
            facts.append(f"images of {self.size} pixels" + ("" if same else f", here of {info.image_size}"))
        return ", ".join(facts) + (f"; all this is usual for such a network{_ASSUMED}" if self.assumed else "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a checkpoint and ``summary.json``."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {**plain, "non_commercial": self.non_commercial}

    @classmethod
    def from_dict(cls, values: Any) -> "Origin | None":
        """Rebuild from `to_dict`'s values; None where there are none; a checkpoint may be anybody's."""
        if not isinstance(values, Mapping) or not isinstance(values.get("weights"), str):
            return None
        known = {}
        for key, kinds in _KINDS.items():
            value = tuple(values[key]) if isinstance(values.get(key), list) else values.get(key)
            if isinstance(value, kinds) and all(
                isinstance(item, str if key == "left" else (int, float))
                for item in (value if isinstance(value, tuple) else ())
            ):
                known[key] = value
        return cls(**known)

    def stating(self, about: Mapping[str, str]) -> "Origin":
        """Return it with what a file of `ssl export` says of itself, see `ssl_cli.commands.export.metadata`."""
        said: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            for key in ("mean", "std"):
                if key in about:
                    said[key] = tuple(float(value) for value in json.loads(about[key]))
            if "image_size" in about:
                said["size"] = int(about["image_size"])
        if licence := about.get("licence") or about.get("license"):
            said |= {"licence": licence, "assumed": False}
        return replace(self, **said)

    def taken(self, sha256: str, tensors: int, part: str, left: list[str]) -> "Origin":
        """Return it with what was found in the file."""
        return replace(self, sha256=sha256, tensors=tensors, part=part, left=tuple(left))


_ASSUMED = " (the file itself says nothing)"
_KINDS = {
    **dict.fromkeys(("weights", "file", "sha256", "part", "licence", "interpolation"), str),
    **dict.fromkeys(("tensors", "size"), int),
    **dict.fromkeys(("left", "mean", "std"), tuple),
    "assumed": bool,
    **dict.fromkeys(("settings", "inputs"), Mapping),
}


def _close(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return len(a) == len(b) and all(abs(x - y) < 1e-6 for x, y in zip(a, b, strict=True))


def _numbers(values: tuple[float, ...]) -> str:
    same = len(set(values)) == 1
    return f"{values[0]:.3g}" if same else f"[{', '.join(f'{value:.3g}' for value in values)}]"
