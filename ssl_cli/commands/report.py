"""``ssl report``: one page with all that there is to see of a run, or of a sweep."""

from collections.abc import Sequence
from pathlib import Path

from ssl_cli.commands.parser import Parser
from ssl_cli.errors import UserError
from ssl_cli.runs.catalog import find_run, find_runs, is_run

HELP = """\
usage: ssl report RUN | SWEEP_DIR [--root PATH] [--trust MODULE]

  RUN              a run directory, or `last` or `best` (see `ssl runs --help`)
  SWEEP_DIR        the directory of a sweep, or any other that holds runs: they are compared
  --root PATH      where the images, clips or texts are now, if they have moved: the directory, or the file of texts
  --trust MODULE   a module of yours outside ssl that the run's config may name; may be repeated

Writes RUN/report/index.html, one file that needs no network, and beside it each figure as PNG and SVG. Made again, the
page is replaced as a whole; nothing outside RUN/report is touched. What cannot be shown is said, with the reason.

examples
  ssl report last
  ssl report outputs/DATE/TIME-sweep
"""


def main(args: Sequence[str]) -> int:
    """Write the report. Returns the exit status."""
    parser = Parser("report", HELP)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--root", metavar="PATH")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE")
    options = parser.parse_args(args)
    if options.root is not None and not Path(options.root).exists():
        raise UserError(
            f"--root {options.root} is not a directory, nor a file of texts; write where the run's data are now"
        )
    path = directory_of(options.run)

    from ssl_cli.report.write import write_report

    file = write_report(path, lambda line: print(f"  {line}", flush=True), options.root, options.trust)
    print(f"report: {file}")
    return 0


def directory_of(reference: str) -> Path:
    """Return the directory of a run, or of several.

    Raises:
        UserError: there is no run in it.
    """
    path = find_run(reference, "RUN")
    if path.is_file() and path.parent.name == "checkpoints":
        path = path.parent.parent
    if not path.is_dir() or not (is_run(path) or find_runs(path)):
        raise UserError(f"{path} is neither a run nor a directory with runs; `ssl runs` lists those that there are")
    return path
