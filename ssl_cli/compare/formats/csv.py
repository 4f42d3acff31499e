"""A comparison as csv."""

import csv
import io

from ssl_cli.compare.result import Comparison


def to_csv(c: Comparison) -> str:
    """Return one line per cell: fractions, not percent."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = ("name", "baseline", "probe", "labels", "target", "metric", "mean", "std", "n", "draws")
    names += ("against", "difference", "low", "high", "covers", "within_noise", "seconds", "images_seen", "collapsed")
    names += ("parameters", "images_per_second", "licence")
    writer.writerow(names)
    for line in c.lines:
        for at, s in line.scores.items():
            low, high = s.interval or (None, None)
            against = c.against if s.difference is not None else None
            cells = [line.name, line.baseline, *at, s.mean, s.std, s.n, s.draws, against, s.difference, low, high]
            cells += [" ".join(s.kinds), s.within_noise, line.seconds, line.images_seen, line.collapsed]
            n = line.network
            cells += [n.parameters, n.images_per_second, n.licence] if n else [None, None, None]
            writer.writerow([_no_formula(cell) for cell in cells])
    return stream.getvalue()


def _no_formula(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
