"""The answers held against what is known: ``ssl predict ... against=FILE.csv``, or ``against=folders``."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ssl_cli.data.images.files.columns import match_files, usual
from ssl_cli.data.images.files.names import as_text, composed, few
from ssl_cli.data.images.files.rows import Image, of_several
from ssl_cli.data.images.files.table import Table, read_table
from ssl_cli.errors import UserError
from ssl_cli.probes.scores.metrics import classification

FOLDERS = "folders"  # an input's class is the folder that it lies in
MIXED = 3  # most frequent errors, on the screen


@dataclass
class Known:
    """The classes that are known of some of the inputs."""

    of: list[str | None]  # [N]
    unused: int = 0  # rows of a table that are of no input


def known_classes(against: str, paths: Sequence[str], root: Path, noun: str, by_content: bool = False) -> Known:
    """Return what is known of inputs.

    Args:
        against: a table with a column of files (or texts) and one of labels, by their usual names; or `FOLDERS`.
        paths: [N] of the inputs, relative to ``root``, with forward slashes; several may be of one file.
        root: the folder that they lie in.
        noun: what one is called.
        by_content: whether ``paths`` are texts that are in no files of their own.

    Raises:
        UserError: the table cannot be read, or no input's class is known.
    """
    if by_content:
        return _of_texts(against, paths)
    if against == FOLDERS:
        found = Known([path.rpartition("/")[0].rpartition("/")[2] or None for path in paths])
        if not any(found.of):
            raise UserError(f"against={FOLDERS}: all {noun}s lie in {root} itself; write against=FILE.csv")
        return found
    table = read_table(Path(against).expanduser(), "against", "file,label", noun)
    cells, files = table.cells(_labels(table, against)), list(dict.fromkeys(paths))
    _, match = match_files(table, None, [Image(file, f"{root}/{file}") for file in files], first=False)
    unclear, known = of_several(match.lines), {}
    for file, at in zip(files, match.lines, strict=True):
        said = {composed(as_text(cells[line])) for line in at if line not in unclear and cells[line]}
        known[file] = _one(said, against, file)
    of = [known[path] for path in paths]
    used = {line for at in match.lines for line in at}
    if not any(of):
        raise UserError(f"no row of {against} names a file of {root} and its class (the first: {paths[0]})")
    return Known(of, len(table.rows.keys() - used))


def _of_texts(against: str, texts: Sequence[str]) -> Known:
    """Return the classes that a table with a column of texts knows of texts, by what they say."""
    if against == FOLDERS:
        raise UserError(f"against={FOLDERS} is for files, and these texts are in one; write against=FILE.csv")
    table = read_table(Path(against).expanduser(), "against", "text,label", "text")
    cells, says, rows = table.cells(_labels(table, against)), table.cells((usual(table, "text") or table.header)[0]), {}
    for line, text in says.items():
        rows.setdefault(text, []).append(line)
    said = {
        text: {composed(as_text(cells[line])) for line in rows.get(text, ()) if cells[line]}
        for text in dict.fromkeys(texts)
    }
    known = {text: _one(classes, against, f"'{text[:40]}'") for text, classes in said.items()}
    if not any(known.values()):
        raise UserError(f"no row of {against} has one of these texts and its class (the first: '{texts[0][:40]}')")
    return Known([known[text] for text in texts], sum(len(at) for text, at in rows.items() if text not in known))


def _labels(table: Table, against: str) -> str:
    labels = usual(table, "label")
    if len(labels) != 1:
        found = f"the columns {few(labels)}" if labels else f"no column of labels by a usual name ({few(table.header)})"
        raise UserError(f"against={against} has {found}; call the one with the classes 'label'")
    return labels[0]


def _one(said: set[str], against: str, what: str) -> str | None:
    if len(said) > 1:
        raise UserError(f"{against} says {' and '.join(sorted(said))} of {what}; leave one row of it")
    return next(iter(said), None)


@dataclass
class Score:
    """How many of the answers are right; counts while the rows go by."""

    known: Known
    classes: tuple[str, ...]  # that the run knows
    pairs: list[tuple[str, str, float, bool]] = field(default_factory=list)  # truth, answer, probability, decided

    def counted(self, rows: Iterator[list], least: float | None) -> Iterator[list]:
        """Pass the rows on; see `run.rows_of`."""
        for truth, row in zip(self.known.of, rows, strict=True):
            if truth is not None and row[1] is not None:
                self.pairs.append((truth, row[1], row[2], least is None or row[2] >= least))
            yield row

    def result(self) -> dict[str, Any] | None:
        """Return the numbers as plain values, None where no input with a known class could be read.

        The interval holds 95 % of resampled inputs.
        """
        if not self.pairs:
            return None
        unknown = Counter(truth for truth, *_ in self.pairs if truth not in self.classes)
        names = [*self.classes, *sorted(unknown)]
        at = {name: i for i, name in enumerate(names)}
        truth, guess = (torch.tensor([at[pair[i]] for pair in self.pairs]) for i in (0, 1))
        sure = torch.tensor([pair[2] for pair in self.pairs])
        metrics = classification(guess[None], truth, len(names), sure[None])
        decided = [pair for pair in self.pairs if pair[3]]
        mixed = Counter((pair[0], pair[1]) for pair in self.pairs if pair[0] != pair[1])
        return {
            "images": len(self.pairs),
            "accuracy": metrics["accuracy"]["mean"],
            "interval": metrics["accuracy"]["ci"],
            "balanced_accuracy": metrics["balanced_accuracy"]["mean"],
            "expected": sure.double().mean().item(),
            "ece": metrics["ece"]["mean"],
            "decided": len(decided),
            "decided_accuracy": sum(pair[0] == pair[1] for pair in decided) / len(decided) if decided else None,
            "unknown_classes": dict(unknown),
            "without_label": sum(truth is None for truth in self.known.of),
            "unused_rows": self.known.unused,
            "mixed_up": [[*pair, count] for pair, count in mixed.most_common(MIXED)],
        }


def lines(score: dict[str, Any], against: str, least: float | None, noun: str) -> list[str]:
    """Return what `Score.result` found, a line for each thing."""
    low, high = (100 * bound for bound in score["interval"])
    right, mean, expected = (100 * score[name] for name in ("accuracy", "balanced_accuracy", "expected"))
    told = [
        f"against {against}: {right:.1f} % [{low:.1f}, {high:.1f}] of {score['images']:,} {noun}s are right, "
        f"{expected:.1f} % were expected (mean over classes {mean:.1f} %, calibration error {score['ece']:.3f})"
    ]
    if least is not None and score["decided"]:
        told.append(
            f"of the {score['decided']:,} with a probability of {least:g} or more, "
            f"{100 * score['decided_accuracy']:.1f} % are right"
        )
    if score["mixed_up"]:
        told.append("most mixed up: " + ", ".join(f"{a} as {b} ({count:,})" for a, b, count in score["mixed_up"]))
    if score["unknown_classes"]:
        count = sum(score["unknown_classes"].values())
        told.append(f"{count:,} {noun}s are of classes that the run does not know: {few(score['unknown_classes'])}")
    left = {f"{noun}s without a label": score["without_label"], f"rows of no {noun}": score["unused_rows"]}
    told += ["; ".join(f"{what}: {count:,}" for what, count in left.items() if count)] if any(left.values()) else []
    return told
