"""Pages that show the inputs that were picked to be labelled."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ssl_cli.data.base import Data
from ssl_cli.pick.table import Picked
from ssl_cli.predict.source import Stored
from ssl_cli.report.figures.inspection import Inspection
from ssl_cli.report.figures.tiles import Shown, tile
from ssl_cli.report.page import render_page
from ssl_cli.report.read import RunFiles
from ssl_cli.system.names import plain

SHOWN = 200  # inputs on a page
TEXT = 200  # letters of a text


def pick_page(
    dataset: str, facts: Mapping[str, Any], picked: Sequence[Picked], inputs: Sequence[Any], noun: str
) -> str:
    """Return a page of the inputs in the order in which they were picked.

    Args:
        dataset: its name.
        facts: term -> value, of how they were picked.
        picked: N of them.
        inputs: [C, h, w] uint8 each, or texts.
        noun: what one is called.
    """
    title = f"{len(picked):,} {noun}{'s' * (len(picked) != 1)} of {dataset} to label"
    return render_page("pick.html", title, pairs=list(facts.items()), shown=tiles(picked, inputs), count=len(picked))


def tiles(picked: Sequence[Picked], inputs: Sequence[Any]) -> list[Shown]:
    """Return the first of the inputs, as a page shows them."""
    pairs = list(zip(picked, inputs, strict=True))[:SHOWN]
    return [Shown(_seen(content, one.path), plain(one.path, 40), _guess(one)) for one, content in pairs]


def of_run(run: RunFiles, seen: Inspection) -> tuple[list[Shown], list[str]]:
    """Return the inputs that were picked from a run's own at last, and lines about what is not shown."""
    if not run.picked:
        return [], []
    (file, picked), names = run.picked[-1], Stored(seen.data, "train", seen.root)
    at = {names.path(i): i for i in seen.data.splits["train"].tolist()}
    here = [one for one in picked if one.path in at]
    notes = [f"{file}: {len(here):,} of {len(picked):,} {seen.data.noun}s are train {seen.data.noun}s of this run."]
    notes += [f"The first {SHOWN} are shown."] if len(here) > SHOWN else []
    notes += [f"Picked before: {', '.join(name for name, _ in run.picked[:-1])}."] if len(run.picked) > 1 else []
    return tiles(here[:SHOWN], seen_by_people(seen.data, [at[one.path] for one in here[:SHOWN]])), notes


def seen_by_people(data: Data, at: Sequence[int]) -> Sequence[Any]:
    """Return inputs as pictures [C, h, w] uint8, or as texts where they are no pictures."""
    positions = torch.tensor(at, dtype=torch.int64)
    pictures = data.pictures(positions)
    return data.shown(positions) if pictures is None else pictures


def _seen(content: Any, name: str) -> Any:
    return plain(content, TEXT) if isinstance(content, str) else tile(content, name)


def _guess(one: Picked) -> str:
    """Return the class that an input would get, with how sure that is; "" where nothing is guessed."""
    known = one.probability is not None and math.isfinite(one.probability)
    return f"{plain(one.guess, 30)}{f', {100 * one.probability:.0f} %' if known else ''}?" if one.guess else ""
