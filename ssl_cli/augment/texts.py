"""Changes of texts: words deleted, a span cut out, neighbours swapped; on whole batches of tokens at once.

With none of them both views of a text are its tokens, and only the dropout of the backbone makes them differ, as in
SimCSE (Gao et al. 2021, arXiv:2104.08821). All draws come from the generator that is given, word by word: the tokens of
a word stay together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ssl_cli.augment.draw import chance, uniform
from ssl_cli.augment.recipe import Range, parse
from ssl_cli.errors import UserError
from ssl_cli.system.transfer import send

PADDING = 0  # the integer that is no token


@dataclass
class Span:
    """A span of a text's words; the rest is cut off."""

    p: float = 0.0
    share: Range = (0.5, 1.0)
    most: int | None = None

    def __post_init__(self) -> None:
        try:
            low, high = (float(v) for v in self.share)
        except (TypeError, ValueError):
            low, high = 0.0, 0.0
        if not 0 < low <= high <= 1:
            raise UserError(f"augment.crop.share is {self.share}: expected [low, high] with 0 < low <= high <= 1")
        self.share = low, high


class TextChanges:
    """A recipe of changes, in this order: crop, delete, swap.

    Args:
        crop: ``{p, share, most}``: with probability p a text is cut to a span of its words, a share of them in
            [low, high], and at most so many words.
        delete: probability of each word of being left out; one word at least stays.
        swap: probability of a pair of neighbouring words of changing places.

    Raises:
        UserError: a setting is unknown or out of range.
    """

    def __init__(self, crop: Mapping[str, Any] | None = None, delete: float = 0.0, swap: float = 0.0):
        self.crop, self.delete, self.swap = parse(Span, "crop", crop or None), delete, swap

    @property
    def nothing(self) -> bool:
        """Whether no text is ever changed."""
        return not (self.crop.p or self.delete or self.swap)

    def __call__(self, tokens: Tensor, starts: Tensor, special: Tensor, generator: torch.Generator) -> Tensor:
        """Return a changed version of each text.

        Args:
            tokens: [B, L] int64, padded with 0.
            starts: [V] bool on their device, whether a word begins with a token.
            special: [V] bool likewise, tokens that always stay where they are: a beginning, an end.
            generator: the only source of randomness.

        Returns:
            [B, L] int64, padded with 0 at the end.
        """
        if self.crop.p:
            words, n = Words.of(tokens, starts, special), len(tokens)
            cut, share = chance(n, self.crop.p, generator), uniform(n, *self.crop.share, generator)
            length = (send(share, tokens.device) * words.count).ceil().clamp(1, self.crop.most)
            length = torch.where(send(cut, tokens.device), length, words.count)
            tokens = crop(tokens, words, length, uniform(n, 0, 1, generator))
        if self.delete:
            draws = torch.rand(tokens.shape, generator=generator)
            tokens = delete(tokens, Words.of(tokens, starts, special), draws, self.delete)
        if self.swap:
            odd, draws = chance(len(tokens), 0.5, generator), torch.rand(tokens.shape, generator=generator)
            tokens = swap(tokens, Words.of(tokens, starts, special), odd, draws < self.swap)
        return tokens


class Words:
    """Which word each token of a batch belongs to.

    Attributes:
        number: [B, L] int64, from 0; -1 for special tokens and padding.
        count: [B] int64, words of each text.
    """

    def __init__(self, number: Tensor, count: Tensor):
        self.number, self.count = number, count

    @classmethod
    def of(cls, tokens: Tensor, starts: Tensor, special: Tensor) -> "Words":
        """Find the words of tokens [B, L]; a text that begins within a word has that piece for its first one."""
        inside = ~special[tokens]
        first = inside & (inside.cumsum(1) == 1)
        number = ((starts[tokens] & inside) | first).cumsum(1) - 1
        return cls(torch.where(inside, number, -1), number.amax(1) + 1)


def crop(tokens: Tensor, words: Words, length: Tensor, place: Tensor) -> Tensor:
    """Cut each text to a span of its words.

    Args:
        tokens: [B, L].
        words: of them.
        length: [B] words that stay, no more than there are.
        place: [B] in [0, 1): where the span lies among those that are possible.
    """
    start = (send(place, tokens.device) * (words.count - length + 1)).floor()
    outside = (words.number < start[:, None]) | (words.number >= (start + length)[:, None])
    return _without(tokens, outside & (words.number >= 0))


def delete(tokens: Tensor, words: Words, draws: Tensor, p: float) -> Tensor:
    """Leave words out whose draw is below p; of each text the one with the largest draw stays.

    Args:
        tokens: [B, L].
        words: of them.
        draws: [B, L] in [0, 1): of a word those in the column of its number.
        p: probability.
    """
    draws = send(draws, tokens.device)
    column = torch.arange(draws.shape[1], device=tokens.device)
    draws = torch.where(column < words.count[:, None], draws, -1.0)
    draws = draws.scatter(1, draws.argmax(1, keepdim=True), 1.0)
    return _without(tokens, (draws.gather(1, words.number.clamp(min=0)) < p) & (words.number >= 0))


def swap(tokens: Tensor, words: Words, odd: Tensor, chosen: Tensor) -> Tensor:
    """Let neighbouring words change places.

    Args:
        tokens: [B, L].
        words: of them.
        odd: [B] bool: whether pairs are words 1 and 2, 3 and 4, ...; else 0 and 1, 2 and 3, ....
        chosen: [B, L] bool: of a pair that in the column of its number.
    """
    odd, chosen = send(odd, tokens.device), send(chosen, tokens.device)
    shifted = words.number + odd[:, None].long()
    other = (shifted ^ 1) - odd[:, None].long()
    whole = (words.number >= 0) & (other >= 0) & (other < words.count[:, None])
    pair = (shifted >> 1).clamp(0, chosen.shape[1] - 1)
    moved = torch.where(whole & chosen.gather(1, pair), other, words.number)
    # Special tokens stay in front or at the end: before all words, or after them.
    seen = (words.number >= 0).cumsum(1) > 0
    moved = torch.where(words.number >= 0, moved, torch.where(seen, tokens.shape[1], -1))
    return tokens.gather(1, moved.argsort(dim=1, stable=True))


def _without(tokens: Tensor, left_out: Tensor) -> Tensor:
    """Return rows without some of their tokens, the rest moved to the left."""
    kept = torch.where(left_out, PADDING, tokens)
    return kept.gather(1, (kept == PADDING).to(torch.uint8).argsort(dim=1, stable=True))
