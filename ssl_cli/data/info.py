"""What a model must know of its data; stored in every checkpoint, so that a checkpoint alone rebuilds its model."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ssl_cli.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class DataInfo(ABC):
    """Facts about the data that a method or pretext may need when it is built.

    Each kind of input is a frozen dataclass with these fields and those of its own; see `ssl_cli.data.base`.
    """

    kind: ClassVar[str]  # image, text, ...: what a config's ``_kind_`` and ``_kinds_`` say
    noun: ClassVar[str]  # one of them, in messages
    how_to_label: ClassVar[str] = "give them labels"  # advice where labels are missing

    name: str
    classes: tuple[str, ...]  # () without labels
    images: int  # stored inputs of all splits; a batch's indices are below this
    train_size: int  # inputs in the train split
    labelled: int  # of those, how many a method may see the label of
    splits: str  # fingerprint of which inputs are in which split, with their labels

    @property
    def seen(self) -> Any:
        """What makes of stored inputs what a network sees, as `dataset.load` takes it: a size, a vocabulary."""
        return None

    @property
    def seen_own(self) -> Any:
        """Likewise, for the run's own inputs; None: its settings alone tell."""
        return self.seen

    @classmethod  # noqa: B027 (most have nothing to check)
    def check_seen(cls, seen: Any) -> None:
        """Raise ``UserError`` where a `seen` that was typed is none, before anything is read."""

    @property
    @abstractmethod
    def shape(self) -> str:
        """The shape of one input, as it is shown to people."""

    @property
    def at_once(self) -> int:
        """Inputs of a forward pass without gradient."""
        return 512

    @property
    def made_by(self) -> tuple:
        """What `to_input` depends on beside the rows."""
        return ()

    @abstractmethod
    def to_input(self, rows: "Tensor") -> "Tensor":
        """Turn rows as stored, on the network's device, into what a backbone sees without any change."""

    @property
    def view_size(self) -> int | None:
        """Side of `views` in pixels, if `trainer.progressive` can lower it by their ``size``; None: they have none."""
        return None

    @abstractmethod
    def views(
        self, augment: Any, rows: Any, generator: "torch.Generator", count: int = 1, size: int | None = None
    ) -> "list[Tensor]":
        """Return ``count`` versions of rows as stored, each changed by the recipe independently: a backbone's input.

        ``size`` is their side, where `view_size` is not None.
        """

    @abstractmethod
    def visible(self, view: "Tensor") -> Any:
        """Return a view as a person sees it: pictures [B, C, h, w] in [0, 1], or B texts."""

    @abstractmethod
    def for_network(self, asks: Callable[[str], bool]) -> dict[str, Any]:
        """Return the arguments that a backbone's constructor gets, of which some only if it asks for that name."""

    def check_backbone(self, backbone: Any) -> None:  # noqa: B027 (it may take any)
        """Raise ``UserError`` where a backbone cannot take such inputs."""

    def check_fits_weights_of(self, other: "DataInfo", setting: str) -> None:
        """Raise ``UserError`` where weights that were trained on the data of ``other`` cannot take these.

        Args:
            other: what they were trained on.
            setting: that brought them, as it was typed.
        """
        if other.shape != self.shape:
            raise UserError(f"{setting} was trained on {self.noun}s of {other.shape}, {self.name} has {self.shape}")

    def inherited(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings for a data set ``node`` with which a frozen network sees it as it saw its own."""
        return {}

    def brought(self, run: Path, node: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings for another data set ``node`` with which the backbone of a run in a directory takes it."""
        return {}

    def stored_as(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a data set with those that store the run's inputs as they were, if it has such."""
        return dict(node)

    def settings(self, node: Mapping[str, Any], typed: Collection[str]) -> dict[str, Any]:
        """Return settings with which another data set is stored as this one was, but for those that were typed."""
        return {}

    def fitted(self, data: Any, typed: Collection[str], key: str) -> tuple[Any, str]:
        """Return another data set brought to what a model of this one takes, and a line that says how.

        Args:
            data: a `Data`, loaded with `settings`.
            typed: names of the settings that the user has typed.
            key: where they stand in the config.

        Raises:
            UserError: it cannot be, for the user has typed otherwise, say.
        """
        if data.shape != self.shape:
            raise UserError(f"the run was trained on {self.noun}s of {self.shape}, {data.name} has {data.shape}")
        return data, f"seen as the {self.noun}s of {self.name} that the run was trained on"

    @property
    def metadata(self) -> dict[str, str]:
        """What a file of exported weights says of the inputs, as texts."""
        return {"kind": self.kind, "data": json.dumps(self.to_dict())}

    def check(self, values: Mapping[str, Any]) -> None:  # noqa: B027 (its values are perhaps of any)
        """Raise ``ValueError`` where a value of its own, of ``values``, is not of its kind."""

    def differing(self, stored: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return the facts that are not as in a checkpoint: name -> (there, here). An older one lacks some defaults."""
        before = {field.name: field.default for field in fields(self)} | dict(stored)
        return {key: (before.get(key), value) for key, value in self.to_dict().items() if before.get(key) != value}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a checkpoint."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return plain if self.kind == "image" else {"kind": self.kind, **plain}  # images were there before kinds were

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataInfo":
        """Rebuild from ``to_dict``'s values.

        Raises:
            ValueError: a value is not of its kind; a checkpoint may be anybody's.
        """
        info = cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
        for name, kind in (("name", str), ("splits", str), ("classes", tuple)):
            require(type(getattr(info, name)) is kind, name, values)
        for name, least in (("images", 0), ("train_size", 0), ("labelled", 0)):
            value = getattr(info, name)
            require(type(value) is int and value >= least, name, values)
        require(all(type(name) is str for name in info.classes), "classes", values)
        info.check(values)
        return info


def require(holds: bool, name: str, values: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` about a value of a checkpoint that does not hold."""
    if not holds:
        raise ValueError(f"data.{name} cannot be {repr(values.get(name))[:40]}")
