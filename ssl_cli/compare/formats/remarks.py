"""What must be known to read a comparison."""

from collections.abc import Sequence

from ssl_cli.compare.cells import Column
from ssl_cli.compare.metrics import PLAIN
from ssl_cli.compare.result import Comparison, Line, Score

Item = tuple[Line, Column, Score]
SOURCES = {
    "runs": "Student's t over runs",
    "draws": "t over draws of the labels",
    "images": "bootstrap of test {noun}s",
}


def remarks(c: Comparison) -> list[str]:
    """Return what must be known to read the table, one sentence or two each."""
    scores = [(line, at, line.scores[at]) for line in c.lines for at in c.columns if at in line.scores]
    own = [score for line, _, score in scores if not line.baseline]
    runs, draws = max((s.n for s in own), default=1), max(s.draws for _, _, s in scores)
    lines = []
    if runs > 1:
        each = f"; each with few labels is the mean over {draws} draws of them" if draws > 1 else ""
        up_to = "up to " if any(s.n < runs for s in own) else ""
        lines.append(f"± is the deviation over {up_to}{runs} runs{each}.")
    elif draws > 1:
        lines.append(
            f"± is the deviation over {draws} draws of the labels. There is one run each, so other seeds are not in it."
        )
    if c.against is not None:
        lines += _on_differences(c, [item for item in scores if item[2].difference is not None])
    collapsed = [f"{line.name} ({line.collapsed} of {len(line.runs)})" for line in c.lines if line.collapsed]
    lines += [f"Collapsed: {', '.join(collapsed)}."] * bool(collapsed)
    lines += [f"Note: {notice}." for notice in c.notices]
    return lines + [f"Left out: {run}: {reason}" for run, reason in c.left_out]


def _on_differences(c: Comparison, scores: Sequence[Item]) -> list[str]:
    judged = [item for item in scores if item[2].within_noise is not None]
    percent = f"{100 * c.level:g}%"
    points = "" if any(at[3] in PLAIN for at in c.columns) else " in points"
    lines = []
    if judged:
        kinds = [SOURCES[kind].format(noun=c.noun) for kind in SOURCES if any(kind in s.kinds for _, _, s in judged)]
        widest = f"the union of {', '.join(kinds[:-1])} and {kinds[-1]}" if len(kinds) > 1 else kinds[0]
        missing = ["seeds where there is one run"] * any(s.n == 1 for line, _, s in judged if not line.baseline)
        if not all("images" in s.kinds for _, _, s in judged):
            missing.append(f"test {c.noun}s where there is no predictions.npz")
        untold = f" It says nothing of other {', nor of other '.join(missing)}." if missing else ""
        lines.append(
            f"The second line of a cell is the difference to {c.against} ({c.why}){points}, with its {percent} "
            f"interval: {widest}, paired where possible.{untold}"
        )
        noise = [item for item in judged if item[2].within_noise]
        which = _listed(noise, judged) if noise else f"none of the {len(judged)} differences"
        lines.append(f"Within noise (~, the interval contains 0): {which}.")
        if len(judged) > 1:
            by_chance = len(judged) * (1 - c.level)
            some = f"{by_chance:.1g}" if by_chance < 1 else f"{by_chance:.0f}"
            lines.append(
                f"{len(judged) - len(noise)} of {len(judged)} differences are beyond noise, each judged by itself: if "
                f"none were real, about {some} would look so by chance. To compare with another line, "
                "use --against."
            )
    if unknown := [item for item in scores if item[2].interval is None]:
        lines.append(
            "Noise unknown (nothing varies between runs, and not both have a predictions.npz): "
            f"{_listed(unknown, scores)}."
        )
    return lines


def _listed(items: Sequence[Item], among: Sequence[Item]) -> str:
    """Return names with the columns meant; without them where it is every column that the line has there."""
    found = []
    for name in dict.fromkeys(line.name for line, _, _ in items):
        columns = [_short(at) for line, at, _ in items if line.name == name]
        every = len(columns) == sum(line.name == name for line, _, _ in among)
        found.append(name if every else f"{name} ({', '.join(columns)})")
    return "; ".join(found)


def _short(at: Column) -> str:
    """Return for example ``linear 10/class``."""
    return " ".join(part for part in (at[0], at[2], at[1]) if part)
