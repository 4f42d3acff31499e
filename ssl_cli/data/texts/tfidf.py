"""TF-IDF as features: the baseline that any representation of texts has to beat."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ssl_cli.data.base import Raw
from ssl_cli.data.texts.vocabulary import Vocabulary

MOST = 10_000  # words and pairs of words that count, those that most texts have
LEAST = 1_000
NUMBERS = 1 << 26  # features times texts, at most: 256 MB


class TfIdf(Raw):
    """How often words and pairs of words occur in a text, by how few others have them (Spärck Jones 1972).

    ``(1 + ln count) (1 + ln((1 + n) / (1 + texts with it)))``, of unit length; of what at least two texts have, if
    there are 50 texts and they share a word.

    Args:
        texts: of the training split: what counts, and how much, is found in these alone.
        vocabulary: makes texts of what a network takes.
        count: of the texts that features are wanted of; if there are many, fewer words count.
    """

    name: ClassVar[str] = "tfidf"
    one_scale: ClassVar[bool] = True  # a rare word is not to count as much as a frequent one

    def __init__(self, texts: Sequence[str], vocabulary: Vocabulary, count: int):
        super().__init__()
        self.texts, self.vocabulary, self.count = texts, vocabulary, count

    @cached_property
    def words(self) -> Any:
        """The fitted vectorizer; it takes seconds, and scores may be known already."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        most = max(LEAST, min(MOST, NUMBERS // max(1, self.count)))
        settings = {"ngram_range": (1, 2), "max_features": most, "sublinear_tf": True, "dtype": np.float32}
        settings |= {"min_df": 2 if len(self.texts) >= 50 else 1, "token_pattern": r"(?u)\b\w+\b"}
        fitted_on = [*self.texts, "a"]  # no word at all would be an error
        try:
            return TfidfVectorizer(**settings).fit(fitted_on)
        except ValueError:  # no word is in two texts
            return TfidfVectorizer(**{**settings, "min_df": 1}).fit(fitted_on)

    @property
    def dim(self) -> int:
        """Words and pairs of words that count."""
        return len(self.words.vocabulary_)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return features [B, dim] of tokens [B, L]."""
        return self._of(self.vocabulary.decode(tokens.tolist())).to(tokens.device)

    def of(self, inputs: Any, positions: Tensor) -> Tensor:
        """Return the features [n, dim] of stored texts, whole, however much of them a network sees."""
        return self._of([inputs.texts[i] for i in positions.tolist()])

    def _of(self, texts: Sequence[str]) -> Tensor:
        if not texts:
            return torch.empty(0, self.dim)
        return torch.from_numpy(self.words.transform(texts).toarray())
