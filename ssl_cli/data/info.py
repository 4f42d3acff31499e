"""What a model must know of its data; stored in every checkpoint, so that a checkpoint alone rebuilds its model."""

from dataclasses import asdict, dataclass
from typing import Any

from ssl_cli.errors import UserError


@dataclass(frozen=True)
class DataInfo:
    """Facts about the data that a method or pretext may need when it is built."""

    name: str
    channels: int  # 1 or 3
    image_size: int  # pixels, height = width
    classes: tuple[str, ...]  # () without labels
    images: int  # stored images of all splits; a batch's indices are below this
    train_size: int  # images in the train split
    labelled: int  # of those, how many a method may see the label of
    mean: tuple[float, ...]  # per channel, of pixels in [0, 1], on the train split
    std: tuple[float, ...]
    value_range: dict[str, list[float]] | None = None  # as in `ImageData`: of files of more than 8 bits
    splits: str = ""  # fingerprint of which images are in which split, with their labels

    @property
    def shape(self) -> str:
        """The shape of one input, as it is shown to people."""
        return f"{self.channels}x{self.image_size}x{self.image_size} pixels"

    def check_fits_weights_of(self, other: "DataInfo", setting: str) -> None:
        """Raise ``UserError`` where weights that were trained on the data of ``other`` cannot take these.

        Args:
            other: what they were trained on.
            setting: that brought them, as it was typed.
        """
        if other.channels != self.channels:
            raise UserError(
                f"{setting} was trained on images of {other.channels} channels, {self.name} has {self.channels}; "
                f"write dataset.channels={other.channels}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a checkpoint."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DataInfo":
        """Rebuild from ``to_dict``'s values."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
