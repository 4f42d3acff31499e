"""``ssl compare``: runs and groups of runs beside each other, with the noise of their differences."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_cli.commands.parser import Parser, names
from ssl_cli.compare.options import Options
from ssl_cli.errors import UserError

if TYPE_CHECKING:
    from ssl_cli.compare.result import Comparison

HELP = """\
usage: ssl compare RUN... | SWEEP_DIR [--by KEYS] [--over KEYS] [--against NAME] [--to csv|md|html|json]

  RUN, SWEEP_DIR      directories of runs, of sweeps, or of probes inside runs (RUN/probes): all that is below them
  --by KEYS           settings that make a line of the table: method, pretext, temperature, optimizer.lr, ...; with
                      commas between. Default: all in which the runs differ, but for --over
  --over KEYS         settings that are averaged over (default seed,label_seed)
  --against NAME      the line that the others are compared with, by its name or a part of it; default the best
                      baseline; `none` leaves differences out
  --probe NAMES       only these probes: linear,knn
  --labels BUDGETS    only these label budgets: all,10/class
  --metric NAME       another metric than the headline: macro_f1, balanced_accuracy, ...
  --level 0.95        of the intervals
  --sort              the best line first
  --to FORMAT         csv, md, html or json, on standard output, instead of a table for the terminal

One line is the mean over its runs; baselines (raw inputs, random weights) come first. Each difference has an interval,
the union of those that the runs allow: Student's t over runs (paired where both lines are of the same seeds), t over
draws of the labels, and a paired bootstrap over the test split (from predictions.npz). If it contains 0, the
difference is within noise. The command leaves out runs that are not finished, and names them. It refuses runs on
different data or splits, or measured by different protocols, and says how to make them alike.

examples
  ssl compare outputs/DATE/TIME-sweep
  ssl compare outputs/DATE/TIME-sweep --by method --over seed --sort --to md > results.md
  ssl compare RUN_A RUN_B --against RUN_A --probe linear --labels 10/class
"""


def main(args: Sequence[str]) -> int:
    """Print the comparison. Returns the exit status."""
    parser = Parser("compare", HELP)
    parser.add_argument("paths", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--by", type=names, default=Options.by)
    parser.add_argument("--over", type=names, default=Options.over)
    parser.add_argument("--against")
    parser.add_argument("--probe", type=names, default=Options.probes, dest="probes", metavar="PROBE")
    parser.add_argument("--labels", type=names, default=Options.labels)
    parser.add_argument("--metric")
    parser.add_argument("--level", type=float, default=Options.level)
    parser.add_argument("--sort", action="store_true")
    parser.add_argument("--to", choices=["csv", "md", "html", "json"])
    given = vars(parser.parse_args(args))
    paths, to = given.pop("paths"), given.pop("to")
    options = Options(**given)
    if not 0 < options.level < 1:
        raise UserError(f"--level {options.level:g} is not between 0 and 1; write 0.95")

    from ssl_cli.compare.comparison import compare

    _show(compare(paths, options), to)
    return 0


def _show(comparison: "Comparison", to: str | None) -> None:
    """Print a comparison in one of the formats of ``--to``; None: as a table for the terminal."""
    from rich.console import Console

    from ssl_cli.compare.formats.csv import to_csv
    from ssl_cli.compare.formats.html import to_html
    from ssl_cli.compare.formats.json import to_json
    from ssl_cli.compare.formats.markdown import to_markdown
    from ssl_cli.compare.formats.terminal import to_terminal

    if to is not None:
        print({"csv": to_csv, "md": to_markdown, "html": to_html, "json": to_json}[to](comparison), end="")
        return
    console = Console(highlight=False)
    console.print(to_terminal(comparison, console))
