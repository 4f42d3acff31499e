"""What a model must know of texts: the tokenizer, and how much of a text is seen."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssl_cli.augment.texts import TextChanges
from ssl_cli.data.info import DataInfo, require
from ssl_cli.data.texts.vocabulary import Facts, Vocabulary
from ssl_cli.errors import UserError


@dataclass(frozen=True)
class TextInfo(DataInfo):
    """Facts about texts that a method or pretext may need when it is built."""

    kind: ClassVar[str] = "text"
    noun: ClassVar[str] = "text"
    how_to_label: ClassVar[str] = "name their column, dataset.label_column=NAME"

    name: str
    classes: tuple[str, ...]  # () without labels
    images: int  # stored texts of all splits; a batch's indices are below this
    train_size: int  # texts in the train split
    labelled: int  # of those, how many a method may see the label of
    tokenizer: str  # JSON, see `Vocabulary`
    max_tokens: int  # of a text that a network sees
    splits: str = ""  # fingerprint of which texts are in which split, with their labels

    @property
    def vocabulary(self) -> Vocabulary:
        """What cuts texts into tokens."""
        return Vocabulary(self.tokenizer, self.max_tokens)

    @property
    def facts(self) -> Facts:
        """Tables over the tokens."""
        return self.vocabulary.facts

    @property
    def seen(self) -> Vocabulary:
        """The vocabulary."""
        return self.vocabulary

    @classmethod
    def check_seen(cls, seen: Any) -> None:
        """Raise ``UserError`` where something other than a vocabulary was typed."""
        if seen is not None and not isinstance(seen, Vocabulary):
            raise UserError(f"pretext.size={seen} is a number of pixels, and texts have none; leave it out")

    @property
    def shape(self) -> str:
        """The shape of one input, as it is shown to people."""
        return self.vocabulary.shape

    @property
    def at_once(self) -> int:
        """256 texts of a forward pass; of more than 64 tokens fewer, which take as much memory."""
        return max(8, 256 * 64 // max(64, self.max_tokens))

    @property
    def made_by(self) -> tuple:
        """The tokenizer."""
        return self.tokenizer, self.max_tokens

    def to_input(self, rows: Tensor) -> Tensor:
        """Return tokens [B, L] int64, padded with 0."""
        return rows

    def views(
        self,
        augment: TextChanges,
        rows: Tensor,
        generator: torch.Generator,
        count: int = 1,
        size: int | None = None,
    ) -> list[Tensor]:
        """Return ``count`` independently changed versions, each [B, L] int64, padded with 0: L as it came."""
        facts = self.facts.on(rows.device)
        return [augment(rows, facts.starts, facts.special, generator) for _ in range(count)]

    def visible(self, view: Tensor) -> list[str]:
        """Return a view [B, L] as texts."""
        return self.vocabulary.decode(view.tolist())

    def for_network(self, asks: Callable[[str], bool]) -> dict[str, Any]:
        """Return the size of the vocabulary, the most tokens of a text and, if it asks, the tokenizer's own padding."""
        padding = {"padding": self.facts.padding} if asks("padding") else {}
        return {"vocab_size": self.vocabulary.size, "max_tokens": self.max_tokens, **padding}

    def check_fits_weights_of(self, other: DataInfo, setting: str) -> None:
        """Raise ``UserError`` where weights are of other tokens."""
        if other.kind != self.kind or other.tokenizer != self.tokenizer or other.max_tokens < self.max_tokens:
            raise UserError(
                f"{setting} was trained on other tokens than those of {self.name}; leave dataset out, or write "
                "dataset.tokenizer=RUN/tokenizer.json and its dataset.max_tokens"
            )

    def brought(self, run: Path, node: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tokenizer of the run, unless the data set has one."""
        return {"tokenizer": str(run / "tokenizer.json")} if node.get("tokenizer") is None else {}

    def differing(self, stored: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Return the facts that are not as in a checkpoint; of tokenizers their digests."""
        found = super().differing(stored)
        if "tokenizer" in found:
            found["tokenizer"] = tuple(hashlib.sha256(str(one).encode()).hexdigest()[:12] for one in found["tokenizer"])
        return found

    def fitted(self, data: Any, typed: Collection[str], key: str) -> tuple[Any, str]:
        """Return the texts, which were read by this tokenizer; see `DataInfo.fitted`.

        Raises:
            UserError: the user has typed another.
        """
        if refused := [name for name in ("tokenizer", "max_tokens", "vocabulary_size") if name in typed]:
            keys = " and ".join(f"{key}.{name}" for name in refused)
            raise UserError(f"leave {keys} out: texts are cut into the tokens that the run was trained on")
        return data, f"cut into the tokens of {self.name}, at most {self.max_tokens} a text"

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` for a tokenizer that is none."""
        require(type(self.max_tokens) is int and self.max_tokens >= 1, "max_tokens", values)
        require(type(self.tokenizer) is str, "tokenizer", values)
        try:
            self.vocabulary.facts  # noqa: B018 (it is read)
        except ValueError:
            require(False, "tokenizer", values)
