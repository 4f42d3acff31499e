"""Limits as people write them in YAML: ``"> 0"``, ``">= 1"``, ``"0 <= x < 1"``."""

import operator
import re
from typing import Any

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ONE_SIDED = re.compile(r"\s*(<=?|>=?)\s*(\S+)\s*")
WRITTEN = "a limit is written '> 0', '>= 1' or '0 <= x < 1'"
_TWO_SIDED = re.compile(r"\s*(\S+)\s*(<=?)\s*x\s*(<=?)\s*(\S+)\s*")


def within(value: float, limit: str) -> bool:
    """Return whether a value keeps a limit such as ``"> 0"``, ``">= 1"`` or ``"0 <= x < 1"``."""
    if match := _TWO_SIDED.fullmatch(limit):
        low, first, second, high = match.groups()
        return _COMPARE[first](float(low), value) and _COMPARE[second](value, float(high))
    if match := _ONE_SIDED.fullmatch(limit):
        return _COMPARE[match[1]](value, float(match[2]))
    raise ValueError(f"{WRITTEN}, not '{limit}'")


def is_limit(limit: Any) -> bool:
    """Return whether a text is a limit."""
    try:
        return isinstance(limit, str) and within(0, limit) in (True, False)
    except ValueError:
        return False
