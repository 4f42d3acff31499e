"""JSON as its standard has it, which knows no NaN and no infinity."""

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(content: Any, indent: int | None = None) -> str:
    """Return plain containers as JSON; a number that is not finite becomes null."""
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
