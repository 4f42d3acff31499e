"""A comparison as JSON: everything; fractions, not percent."""

from dataclasses import asdict
from typing import Any

from ssl_cli.compare.formats.remarks import remarks
from ssl_cli.compare.result import Comparison, Score
from ssl_cli.system import plain_json


def to_json(c: Comparison) -> str:
    """Return everything that a comparison holds."""
    content = {
        "dataset": c.dataset,
        "against": c.against,
        "level": c.level,
        "columns": [dict(zip(("probe", "labels", "target", "metric"), at, strict=True)) for at in c.columns],
        "rows": [
            {
                "name": line.name,
                "baseline": line.baseline,
                "seconds": line.seconds,
                "images_seen": line.images_seen,
                "collapsed": line.collapsed,
                "network": asdict(line.network) if line.network else None,
                "runs": line.runs,
                "cells": [_values(line.scores.get(at)) for at in c.columns],
            }
            for line in c.lines
        ],
        "left_out": [{"run": run, "reason": reason} for run, reason in c.left_out],
        "notices": c.notices,
        "remarks": remarks(c),
    }
    return plain_json.dumps(content, indent=2) + "\n"


def _values(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        **{"mean": score.mean, "std": score.std, "n": score.n, "draws": score.draws, "difference": score.difference},
        "interval": score.interval and list(score.interval),
        "covers": list(score.kinds),
        "within_noise": score.within_noise,
    }
