"""The text of a label budget: ``all``, ``10%``, ``4/class``, or over groups ``10%groups``, ``4groups/class``.

Imports no torch, so a config can be checked early.
"""

import re

from ssl_cli.errors import UserError

# ("all", None), ("fraction", 0 < p <= 1) or ("per_class", k >= 1); of groups: "group_fraction", "groups_per_class"
Budget = tuple[str, float | int | None]
OF_GROUPS = ("group_fraction", "groups_per_class")


def parse_budget(text: str) -> Budget:
    """Read a label budget.

    Returns:
        ``("all", None)``, ``("fraction", 0.1)`` for ``10%``, ``("per_class", 4)`` for ``4/class``,
        ``("group_fraction", 0.1)`` for ``10%groups`` or ``("groups_per_class", 4)`` for ``4groups/class``.

    Raises:
        UserError: for any other text, a percentage outside 0 < p <= 100, or no label per class.
    """
    cleaned = str(text).strip().lower()
    if cleaned == "all":
        return "all", None
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%(?:\s*(?:of\s+)?(groups))?", cleaned):
        percent = float(match[1])
        if 0 < percent <= 100:
            return "group_fraction" if match[2] else "fraction", percent / 100
        raise UserError(f"dataset.labels={text} is out of range: a percentage must be above 0% and at most 100%")
    if match := re.fullmatch(r"(\d+)\s*(groups?)?\s*/\s*class", cleaned):
        if int(match[1]) >= 1:
            return "groups_per_class" if match[2] else "per_class", int(match[1])
        raise UserError(f"dataset.labels={text} keeps no label: write at least dataset.labels=1/class")
    raise UserError(f"dataset.labels={text} is not a label budget: write all, a percentage (10%) or a count (4/class)")
