"""What cuts texts into tokens: byte-pair encoding trained on the training split, or a tokenizer of others."""

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_cli.augment.texts import PADDING
from ssl_cli.data.texts.tokens import Tokens
from ssl_cli.errors import UserError

MISSING = "texts need the package tokenizers: pip install 'ssl-cli[text]'"
PAD, MASK, EMPTY = "[PAD]", "[MASK]", "[EMPTY]"  # of a vocabulary that is trained here; their integers are 0, 1, 2
SMALLEST = 300  # tokens: 256 bytes, and some room


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, and how much of a text it reads: what makes of a text what a network sees.

    Integers are the tokenizer's own, but that 0 is always the padding: where another integer is, the two change places.
    """

    tokenizer: str  # JSON, as Hugging Face's `tokenizers` writes it
    max_tokens: int  # of a text; what is beyond is not seen

    def encode(self, texts: Sequence[str]) -> Tokens:
        """Return texts as integers; one without any token becomes the one that says so."""
        encoder = _opened(self.tokenizer)
        encoder.enable_truncation(self.max_tokens)
        found = [self._swapped(row.ids) for row in encoder.encode_batch(list(texts))]
        return Tokens([[i for i in row if i != PADDING] or [self.facts.empty] for row in found], texts)

    def decode(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """Return rows of integers as texts, without padding; what is hidden is shown as ``[MASK]``."""
        facts, encoder, out = self.facts, _opened(self.tokenizer), []
        for row in rows:
            ids = [i for i in row if i != PADDING and (i == facts.mask or not facts.special[i])]
            pieces = [[]]
            for i in self._swapped(ids):
                pieces[-1].append(i) if i != facts.mask else pieces.append([])
            out.append(" [MASK] ".join(encoder.decode(piece).strip() for piece in pieces).strip())
        return out

    @property
    def facts(self) -> "Facts":
        """What views need to know of the tokens."""
        return _facts(self.tokenizer)

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self.facts.special)

    @property
    def shape(self) -> str:
        """What a network sees of a text, as `DataInfo.shape` has it."""
        return f"up to {self.max_tokens} of {self.size:,} tokens"

    def _swapped(self, ids: Sequence[int]) -> Sequence[int]:
        padding = self.facts.padding
        return ids if padding == PADDING else [{padding: PADDING, PADDING: padding}.get(i, i) for i in ids]


@dataclass(frozen=True, eq=False)
class Facts:
    """Tables over the tokens of a vocabulary."""

    special: Tensor  # [V] bool: beginnings, ends, padding: no change touches them
    starts: Tensor  # [V] bool: whether a word begins with it
    padding: int  # the tokenizer's own integer of the padding
    mask: int  # what stands for a hidden token
    empty: int  # what stands for a text without tokens

    def on(self, device: torch.device) -> "Facts":
        """Return the tables on a device, sent there once."""
        return self if device == self.special.device else _sent(self, device)


def train(texts: Iterable[str], size: int, max_tokens: int) -> Vocabulary:
    """Train byte-pair encoding on bytes, in small letters (Sennrich et al. 2016, arXiv:1508.07909).

    Args:
        texts: of the training split.
        size: of the vocabulary, in tokens; small collections yield fewer.
        max_tokens: see `Vocabulary`.

    Raises:
        UserError: the package `tokenizers` is missing, or the size is below the number of bytes.
    """
    check_installed()
    if size < SMALLEST:
        raise UserError(f"dataset.vocabulary_size={size} is less than the {SMALLEST} that bytes alone need")
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    encoder = Tokenizer(models.BPE())
    encoder.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    encoder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    encoder.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[PAD, MASK, EMPTY],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    encoder.train_from_iterator(texts, trainer)
    return Vocabulary(_plain(encoder.to_str()), max_tokens)


def read(place: str, max_tokens: int) -> Vocabulary:
    """Return the tokenizer of a file ``tokenizer.json``, or of a directory that has one.

    Raises:
        UserError: it is missing or no tokenizer.
    """
    check_installed()
    path = Path(place).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        vocabulary = Vocabulary(_plain(file.read_text(encoding="utf-8")), max_tokens)
        _opened(vocabulary.tokenizer)
    except OSError as error:
        raise UserError(
            f"dataset.tokenizer={place}: cannot read {file}: {error.strerror}; write the path of a tokenizer.json"
        ) from error
    except ValueError as error:
        raise UserError(f"dataset.tokenizer={place}: {file} is no tokenizer ({str(error)[:80]})") from error
    return vocabulary


def check_installed() -> None:
    """Raise ``UserError`` where the package `tokenizers` is missing."""
    if find_spec("tokenizers") is None:
        raise UserError(MISSING)


def _plain(text: str) -> str:
    """Return a tokenizer without the padding and truncation that it came with, which are ours; equal ones are equal."""
    content = json.loads(text)
    if not isinstance(content, dict) or "model" not in content:
        raise ValueError("it has no model")
    return json.dumps({**content, "padding": None, "truncation": None}, ensure_ascii=False, sort_keys=True)


@functools.lru_cache(maxsize=4)
def _opened(tokenizer: str) -> Any:
    check_installed()
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(tokenizer)
    except Exception as error:  # tokenizers raises Exception itself
        raise ValueError(str(error)) from error


@functools.lru_cache(maxsize=4)
def _sent(facts: Facts, device: torch.device) -> Facts:
    return replace(facts, special=facts.special.to(device), starts=facts.starts.to(device))


@functools.lru_cache(maxsize=4)
def _facts(tokenizer: str) -> Facts:
    encoder = _opened(tokenizer)
    names = {i: name for name, i in encoder.get_vocab(with_added_tokens=True).items()}
    size = max(names) + 1
    own = {name: i for i, name in names.items()}
    padding = next((own[name] for name in (PAD, "<pad>", "<|padding|>") if name in own), PADDING)
    place = {padding: PADDING, PADDING: padding}
    special, starts = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
    added = {i for i, token in encoder.get_added_tokens_decoder().items() if token.special}
    continued = next((mark for mark in ("##", "▁", "Ġ") if sum(name.startswith(mark) for name in own) > size // 20), "")
    for i, name in names.items():
        at = place.get(i, i)
        special[at] = i in added
        starts[at] = not name.startswith("##") if continued in ("##", "") else name.startswith(continued)
    special[PADDING] = True
    mask = next((own[name] for name in (MASK, "<mask>") if name in own), PADDING)
    empty = next((own[name] for name in (EMPTY, "[UNK]", "<unk>", MASK) if name in own), size - 1)
    return Facts(special, starts, padding, place.get(mask, mask), place.get(empty, empty))
