"""A process that has imported what commands need, and forks one for each: imports cost seconds, a fork does not.

Where there is no fork (Windows), commands run in processes of their own, see `conftest.CommandLine`.
"""

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import traceback
from pathlib import Path

LIGHT = (
    "ssl_cli.config.compose",
    *(f"ssl_cli.commands.{name}" for name in ("train", "probe", "embed", "export", "views")),
)
ALL = "everything"  # all modules of ssl_cli, and what the digits come from


class Warm:
    """Runs ``ssl`` in forks of a process that has imported the modules."""

    def __init__(self, *modules: str):
        command = [sys.executable, __file__, *modules]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, argv: list[str], cwd: str, env: dict[str, str], out: str, err: str, modules: str) -> int:
        """Run one command; its output goes to files, its modules' names to another. Returns the exit status."""
        order = {"argv": argv, "cwd": cwd, "env": env, "out": out, "err": err, "modules": modules}
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def close(self) -> None:
        self.server.stdin.close()
        self.server.wait()


def serve(modules: list[str]) -> None:
    """Import, then fork a child for each order that comes as a line, one after the other."""
    sys.path.remove(str(Path(__file__).parent))  # as an installed script has it
    for name in modules:
        for found in every_module() if name == ALL else [name]:
            importlib.import_module(found)
    for line in sys.stdin:
        order = json.loads(line)
        if (child := os.fork()) == 0:
            run(order)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def every_module() -> list[str]:
    import ssl_cli

    found = [module.name for module in pkgutil.walk_packages(ssl_cli.__path__, "ssl_cli.")]
    return [*(name for name in found if not name.endswith("__main__")), "sklearn.datasets", "rich.table", "matplotlib"]


def run(order: dict) -> None:
    """Be the command's process."""
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, file in ((1, order["out"]), (2, order["err"])):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    for place in reversed(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if place and place not in sys.path:
            sys.path.insert(0, place)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["ssl", *order["argv"]]
    try:
        from ssl_cli.cli import main

        status = main(order["argv"])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    Path(order["modules"]).write_text("\n".join(sys.modules))
    os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1:])
