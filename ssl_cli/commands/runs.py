"""``ssl runs``: the runs there are, newest first."""

from collections.abc import Sequence
from pathlib import Path

from ssl_cli.commands.parser import Parser
from ssl_cli.compare.listing import print_runs
from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import find_runs
from ssl_cli.system import plain_json

HELP = """\
usage: ssl runs [DIR] [-n N] [--to json]

  DIR          where to look; default outputs
  -n N         only the newest N
  --to json    one JSON list, for other programs

Each run with its date, method, data set, labels, seed, state, score on test (of the linear probe, with the most labels;
else of its own classifier, else of kNN), best kNN on val, and where it is. The state is that of summary.json: running,
finished, interrupted, failed; or collapsed, where a finished run's embedding had collapsed, and killed, where a running
run's process is gone (for one of another machine: the time since its last sign of life). The date is when the run
began, and the order is that of the last lines of train.log: a run has written both, so a copy keeps its place.

ckpt=last, init=last and resume=last mean the first in this list that has a checkpoint; ckpt=best and init=best the
best.pt of the run with the highest kNN on val, among those on the same data, splits and labels as the latest.
"""


def main(args: Sequence[str]) -> int:
    """Print the table. Returns the exit status."""
    parser = Parser("runs", HELP)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("outputs"), metavar="DIR")
    parser.add_argument("-n", type=int, default=None, metavar="N")
    parser.add_argument("--to", choices=["json"])
    options = parser.parse_args(args)
    if not options.directory.is_dir():
        raise UserError(
            f"there is no directory {options.directory}; write the one that holds the runs, or train one first"
        )
    if options.n is not None and options.n < 1:
        raise UserError(f"-n {options.n} is not at least 1")
    found = find_runs(options.directory)[: options.n]
    if options.to == "json":
        print(plain_json.dumps(found, indent=2))
        return 0
    if not found:
        print(f"no run below {options.directory}; train one: ssl train method=simclr")
        return 0
    print_runs(found)
    return 0
