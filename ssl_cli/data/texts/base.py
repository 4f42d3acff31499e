"""What every data set of texts becomes: texts as integers in one buffer, labels and splits."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ssl_cli.data.base import Data, in_words
from ssl_cli.data.texts import vocabulary
from ssl_cli.data.texts.info import TextInfo
from ssl_cli.data.texts.tfidf import TfIdf
from ssl_cli.data.texts.tokens import Tokens
from ssl_cli.data.texts.vocabulary import Vocabulary


@dataclass(frozen=True)
class TextData(Data):
    """Texts in memory; read only.

    The source of a data set leaves ``tokens`` and ``vocabulary`` out; `seen_at` makes them.
    """

    kind: ClassVar[str] = "text"
    noun: ClassVar[str] = "text"
    alike: ClassVar[str] = "word for word"
    called_by_content: ClassVar[bool] = True
    how_to_test: ClassVar[str] = "dataset.test_fraction, or dataset.split_column=NAME"
    labelled_like_it: ClassVar[dict[str, str]] = {"dataset": "texts", "dataset.file": "LABELLED.csv"}

    name: str
    texts: tuple[str, ...]  # [N]
    labels: Tensor  # [N] int64; -1 = no human label
    classes: tuple[str, ...]  # names by label; () when there are no labels
    splits: dict[str, Tensor]  # "train", "val", "test": disjoint sorted int64 positions; val and test may be empty
    factors: dict[str, Tensor] = field(default_factory=dict)  # name -> [N] floats, NaN = not known: targets
    files: tuple[str, ...] = ()  # [N] paths, where texts come from files of their own
    groups: Tensor | None = None  # [N] int64: texts of one author, thread ... have one number; -1 = of no group
    skipped: int = 0  # broken files that were left out
    note: str = ""  # one line for the user: how the source was read
    max_tokens: int = 64  # of a text that a network sees
    vocabulary_size: int = 8192  # tokens of the byte-pair encoding that is trained on the training split
    tokenizer: str | None = None  # a tokenizer.json, or the directory it is in, in the place of one that is trained
    tokens: Tokens | None = None  # [N] the texts as integers
    vocabulary: Vocabulary | None = None  # that made them

    @property
    def inputs(self) -> Tokens:
        """The texts as integers."""
        return self.tokens

    @property
    def storage(self) -> str:
        """How the texts are stored, and what that takes, in words."""
        lengths = self.tokens.lengths
        full = int((lengths >= self.max_tokens).sum())
        longest = f", {full:,} text{'s' * (full != 1)} of {self.max_tokens} or more" if full else ""
        mean = f"{lengths.float().mean():.0f} tokens a text"
        return f"{mean}{longest}; {in_words(self.tokens.nbytes)}"

    @property
    def shape(self) -> str:
        """The shape of one text, as `DataInfo.shape` has it."""
        return self.vocabulary.shape

    def seen_at(self, how: Vocabulary | None) -> "TextData":
        """Return the data as integers; None: by their own tokenizer, or one trained on the training split.

        Raises:
            UserError: `tokenizers` is missing, or the tokenizer cannot be read.
        """
        if how is None and self.tokenizer is not None:
            how = vocabulary.read(self.tokenizer, self.max_tokens)
        if how is None:
            train = [self.texts[i] for i in self.splits["train"].tolist()]
            how = vocabulary.train(train, self.vocabulary_size, self.max_tokens)
        return replace(self, tokens=how.encode(self.texts), vocabulary=how, max_tokens=how.max_tokens)

    def info(self, node: Mapping[str, Any], **common: Any) -> TextInfo:
        """Return the facts of the texts; see `Data.info`."""
        return TextInfo(tokenizer=self.vocabulary.tokenizer, max_tokens=self.vocabulary.max_tokens, **common)

    def raw(self, info: TextInfo) -> TfIdf:
        """Return TF-IDF as features: of words and pairs of words of the training split."""
        return TfIdf([self.texts[i] for i in self.splits["train"].tolist()], info.vocabulary, len(self.texts))

    def contents(self) -> "Contents":
        """Return the bytes of each text; space between words does not count."""
        return Contents(self.texts)

    def digest(self) -> str:
        """Return the sha256 of all texts, space and all, and of their tokenizer."""
        digest = hashlib.sha256(
            json.dumps([self.shape, self.vocabulary.tokenizer, self.vocabulary.max_tokens]).encode()
        )
        for text in self.texts:
            content = text.encode("utf-8", "surrogatepass")
            digest.update(f"{len(content)}\n".encode() + content)
        return digest.hexdigest()

    def shown(self, at: Tensor) -> list[str]:
        """Return the texts themselves."""
        return [self.texts[i] for i in at.tolist()]

    def called(self, i: int) -> str:
        """Return the text."""
        return self.texts[i]

    def kept(self) -> dict[str, Any]:
        """Return the tokenizer."""
        return {"tokenizer.json": json.loads(self.vocabulary.tokenizer)}

    def known_by(self, at: Tensor) -> bytes:
        """Return what tells the texts at positions [n] from others: their files' names, or what they say."""
        if self.files:
            return super().known_by(at)
        digest = hashlib.sha256()
        for i in at.tolist():
            digest.update(self.texts[i].encode("utf-8", "surrogatepass") + b"\0")
        return digest.digest()


class Contents:
    """Texts as rows of bytes that have lengths of their own; indexed as far as `copies` needs it."""

    def __init__(self, texts: tuple[str, ...]):
        self.texts = texts

    def __getitem__(self, i: int) -> Tensor:
        """Return a text's bytes [b] uint8, a single space between its words."""
        words = " ".join(self.texts[i].split())
        return torch.frombuffer(bytearray(words.encode("utf-8", "surrogatepass") or b"\0"), dtype=torch.uint8)

    def strips(self, length: int) -> Tensor:
        """Return the bytes in the middle of each text [n, length], as far as it has so many."""
        out = torch.zeros(len(self.texts), length, dtype=torch.uint8)
        for i, strip in enumerate(out):
            content = self[i]
            count = min(length, len(content))
            begin = (len(content) - count) // 2
            strip[:count] = content[begin : begin + count]
        return out
