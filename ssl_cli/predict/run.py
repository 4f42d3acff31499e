"""The work of ``ssl predict``: chunk by chunk from inputs to rows, and what is said of all of them at the end."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ssl_cli.data.info import DataInfo
from ssl_cli.predict.part import Part
from ssl_cli.predict.predictor import Answers, Predictor
from ssl_cli.predict.source import Chunk, Source
from ssl_cli.probes.frozen.features import Extractor

PLACES = 6  # digits of a probability
PERCENT = 2  # digits of a percentile
NAMED = 6  # broken files, on the screen


def answer(
    source: Source, network: nn.Module, info: DataInfo, device: torch.device, predictor: Predictor, part: Part
) -> None:
    """Append the rows of all inputs that have none yet."""
    features_of = Extractor(network, info, device)
    for chunk in source.chunks(part.done):
        features = features_of(chunk.inputs, torch.arange(len(chunk.inputs)))
        part.add(rows_of(chunk, predictor.answers(features), predictor.classes))


def rows_of(chunk: Chunk, answers: Answers, classes: tuple[str, ...]) -> list[list[Any]]:
    """Return a row an input, with the cells of `table.columns`; None where nothing is known."""
    cells = []
    if classes:
        cells += [[classes[i] for i in answers.classes.tolist()], _rounded(answers.probability, PLACES)]
        cells += [[classes[i] for i in answers.second.tolist()], _rounded(answers.second_probability, PLACES)]
    cells.append([None] * len(chunk.inputs) if answers.unlike is None else _rounded(answers.unlike, PERCENT))
    cells += [[v if math.isfinite(v) else None for v in values.tolist()] for values in answers.targets.values()]
    known = zip(*cells, strict=True)
    blank = [None] * len(cells)
    return [
        [path, *blank, chunk.broken[i]] if i in chunk.broken else [path, *next(known), None]
        for i, path in enumerate(chunk.paths)
    ]


def _rounded(values: torch.Tensor, digits: int) -> list[float | None]:
    return [round(v, digits) if math.isfinite(v) else None for v in values.tolist()]


@dataclass
class Tally:
    """What is said of a prediction at its end; counts while the rows go by."""

    noun: str  # what one is called
    images: int = 0
    broken: int = 0
    named: list[str] = field(default_factory=list)  # the first of those
    decided: int = 0  # inputs with a class
    certainty: float = 0.0  # sum of the probabilities of these

    def counted(self, rows: Iterator[list], classes: bool, least: float | None) -> Iterator[list]:
        """Pass the rows on; of inputs whose class is less probable than ``least`` the class becomes a guess.

        Args:
            rows: as `rows_of` makes them.
            classes: whether they have a class.
            least: None: every class stays, and there is no column for guesses.
        """
        for row in rows:
            *row, error = row
            self.images += 1
            if error is not None:
                self.broken += 1
                self.named += [f"{row[0]}: {error}"] if len(self.named) < NAMED else []
            guess = row[1] if classes else None
            if classes and least is not None and (row[2] is None or row[2] < least):
                row[1] = None
            if classes and row[1] is not None:
                self.decided += 1
                self.certainty += row[2]
            yield [*row, *([guess] if least is not None else []), error]

    def lines(self, predictor: Predictor, least: float | None) -> list[str]:
        """Return what was found, a line for each thing."""
        lines = []
        if self.broken:
            more = f"; and {self.broken - len(self.named)} more" if self.broken > len(self.named) else ""
            lines.append(
                f"{self.broken:,} of {self.images:,} files cannot be read ({'; '.join(self.named)}{more}): their rows "
                "have the reason in the column error"
            )
        if predictor.classes and least is not None:
            rest = self.images - self.broken - self.decided
            lines.append(
                f"{self.decided:,} {self.noun}s have a class of probability {least:g} or more; {rest:,} are left to a "
                "person: their class is empty, and the column guess has the likeliest"
            )
        if self.decided:
            how = f"not calibrated: val has no labelled {self.noun}"
            if known := predictor.calibrated_on:
                how = f"calibrated on {known:,} {self.noun}s of val, temperature {predictor.temperature:.3g}"
            lines.append(
                f"expect {100 * self.certainty / self.decided:.1f} % of the {self.decided:,} classes to be right, on "
                f"{self.noun}s like those of val (mean probability; {how})"
            )
        return lines
