"""Two configs beside each other: their leaves by dotted key, and what differs."""

from collections.abc import Iterable, Mapping
from typing import Any

from ssl_cli.config.schema import ANNOTATIONS

SHOWN = 6  # differences in an error


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted key; what only describes settings is left out."""
    if isinstance(node, Mapping) and node:
        children = {f"{prefix}.{key}" if prefix else key: node[key] for key in node if key not in ANNOTATIONS}
        return {k: v for key, child in children.items() for k, v in flat(child, key).items()}
    return {prefix: node}


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return a text for each key whose value is another."""
    return [f"{key} was {there[key]}, is {here[key]}" for key in there if there[key] != here[key]]


def listed(texts: Iterable[str]) -> str:
    """Join texts, the first few of many."""
    texts = list(texts)
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more
