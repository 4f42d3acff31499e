"""What a report shows of texts: neighbours, views and the words that a class is known by, all of them as text."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from ssl_cli.pretext.preview import drawn
from ssl_cli.report.figures.inspection import Inspection
from ssl_cli.report.figures.style import Drawing
from ssl_cli.system.names import plain

LETTERS = 160  # of a text
NEAR = 3  # neighbours of a text
WORDS = 12  # of a class
LEAST = 3  # texts that a word must be in


def neighbours(seen: Inspection) -> Drawing | None:
    """Return random queries with the train texts whose features are most like theirs, right and wrong marked."""
    queries, found = seen.neighbours.queries, seen.neighbours.found[:, :NEAR]
    if not found.numel():
        return None
    data, rows, right = seen.data, [], []
    for query, near in zip(queries.tolist(), found.tolist(), strict=True):
        own = int(data.labels[query])
        rows.append((_class(data, query), "query", data.texts[query]))
        for i in near:
            other = int(data.labels[i])
            mark = ""
            if min(own, other) >= 0:
                right.append(own == other)
                mark = "✓ " if own == other else "✗ "
            rows.append((mark + _class(data, i), "", data.texts[i]))
    text = f"Random {seen.split} texts and the train texts whose features are most like theirs (cosine)."
    text += f" ✓ of the same class, ✗ of another: {sum(right)} of {len(right)} are right." if right else ""
    return Drawing("neighbours", "Nearest neighbours", text, _table(("class", "", "text"), rows))


def views(seen: Inspection) -> Drawing:
    """Return what the pretext makes of a few train texts."""
    columns, _ = drawn(seen.pretext, seen.data, count=6, seed=0)
    rows = [
        (heading, text)
        for row in zip(*columns.values(), strict=True)
        for heading, text in zip(columns, row, strict=True)
    ]
    return Drawing(
        "views", "Views", "Train texts as they are, then as the method saw them.", _table(("", "text"), rows)
    )


def class_words(seen: Inspection) -> Drawing | None:
    """Return the words that are more frequent in the train texts of a class than in all others."""
    data = seen.data
    if not data.classes:
        return None
    train = data.splits["train"]
    labels, texts = data.labels[train].tolist(), [data.texts[i] for i in train.tolist()]
    found = known_by(texts, labels, len(data.classes))
    rows = [(plain(name, 30), ", ".join(words)) for name, words in zip(data.classes, found, strict=True)]
    text = "In how many texts of the class a word is, against all others: the words of the largest log odds ratio."
    return Drawing("words", "Words that a class is known by", text, _table(("class", "words"), rows))


def known_by(texts: Sequence[str], labels: Sequence[int], classes: int) -> list[list[str]]:
    """Return for each class its words, the most telling first.

    Args:
        texts: [n].
        labels: [n], -1 where there is none.
        classes: C.

    Returns:
        C lists of words that at least 3 texts of the class have, and not all texts, by the z-score of their log odds
        ratio with a prior of all texts (Monroe et al. 2008, equation 22).
    """
    counts, totals = [Counter() for _ in range(classes)], [0] * classes
    for text, label in zip(texts, labels, strict=True):
        if label >= 0:
            counts[label].update(set(re.findall(r"[^\W\d_]{2,}", text.lower())))
            totals[label] += 1
    every, total = Counter(), sum(totals)
    for own in counts:
        every.update(own)
    found = []
    for own, size in zip(counts, totals, strict=True):
        scores = {
            word: _log_odds(here, size, every[word], total)
            for word, here in own.items()
            if here >= LEAST and every[word] < total
        }
        known = sorted(scores, key=lambda word: (-scores[word], word))[:WORDS]
        found.append([word for word in known if scores[word] > 0])
    return found


def _log_odds(here: int, size: int, every: int, total: int) -> float:
    """Return the z-score of a word that ``here`` of a class's ``size`` texts have, and ``every`` of all ``total``."""
    prior = every / total
    a, b = here + prior, every - here + prior
    return (math.log(a / (size + 1 - a)) - math.log(b / (total - size + 1 - b))) / math.sqrt(1 / a + 1 / b)


def _class(data: Any, i: int) -> str:
    label = int(data.labels[i])
    return plain(data.classes[label], 30) if label >= 0 else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in header)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup('<td class="text">{}</td>').format(plain(cell, LETTERS)) for cell in row)
        )
        for row in rows
    )
    return Markup('<div class="scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>').format(
        head, body
    )
