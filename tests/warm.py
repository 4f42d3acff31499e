"""Commands in processes that are forked from one that has imported what they need: that costs seconds, a fork does not.

`start` forks from a process that has imported everything, one for all workers. A `Light` has imported what all commands
need, but not torch: its forks tell whether a command imports that. Where there is no fork (Windows) `start` starts new
processes.
"""

import json
import multiprocessing
import multiprocessing.forkserver
import os
import pkgutil
import signal
import subprocess
import sys
import traceback
import unittest.mock
from pathlib import Path

import ssl_cli

HERE = Path(__file__).parent
FORKS = "forkserver" in multiprocessing.get_all_start_methods()
CONTEXT = multiprocessing.get_context("forkserver" if FORKS else "spawn")
OURS = [module.name for module in pkgutil.walk_packages(ssl_cli.__path__, "ssl_cli.") if "__main__" not in module.name]
OTHERS = [  # an optimizer imports the first, which takes seconds; a report the last
    *("torch._dynamo", "torchvision", "sklearn.datasets", "rich.table", "filelock", "safetensors.torch"),
    *("matplotlib.pyplot", "matplotlib.backends.backend_svg", "sklearn.manifold", "sklearn.cluster", "jinja2"),
]
if FORKS:
    CONTEXT.set_forkserver_preload([*OURS, *OTHERS, "read_once", "primed"])
SHARED = ("_forkserver_address", "_forkserver_authkey")  # the second from Python 3.14 on
COMMANDS = [
    f"ssl_cli.commands.{name}" for name in ("train", "probe", "predict", "pick", "audit", "embed", "export", "views")
]


def ensure_running(**env: str) -> None:
    """Start the process that is forked from, unless it is there."""
    if FORKS:
        with unittest.mock.patch.dict(os.environ, env, PYTHONPATH=str(HERE)):  # of `primed`, which takes it back
            multiprocessing.forkserver.ensure_running()


def shared() -> dict[str, str | bytes]:
    """Return what another process needs to fork from the same one."""
    server = multiprocessing.forkserver._forkserver
    return {name: getattr(server, name) for name in SHARED if hasattr(server, name)} if FORKS else {}


def share(found: dict[str, str | bytes]) -> None:
    """Fork from the process that another one has started."""
    if FORKS:
        server = multiprocessing.forkserver._forkserver
        vars(server).update(found, _forkserver_alive_fd=os.open(os.devnull, os.O_WRONLY))
        server.ensure_running = lambda: None
        multiprocessing.forkserver.ensure_running = server.ensure_running


def start(target, *args, **kwargs) -> multiprocessing.Process:
    ensure_running()
    process = CONTEXT.Process(target=target, args=args, kwargs=kwargs)
    process.start()
    return process


def finish(target, *args, timeout: float = 300, **kwargs) -> int:
    process = start(target, *args, **kwargs)
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"it hangs: {args}")
    return process.exitcode


def command(argv: list[str], cwd: Path, hook=None, *args, log: Path | None = None, env: dict | None = None) -> None:
    """Run ``ssl ARGV`` in ``cwd``; its output is appended to ``log``/out and err, by default in ``cwd``."""
    become(argv, cwd, log or cwd, env)
    import torch

    torch.set_num_threads(1)
    if hook is not None:
        hook(*args)
    leave(argv)


def become(argv: list[str], cwd: Path, log: Path, env: dict[str, str] | None) -> None:
    """Make this process what the shell would have started."""
    if env is not None:
        os.environ.clear()
        os.environ.update(env)
        sys.path[:0] = [place for place in env.get("PYTHONPATH", "").split(os.pathsep) if place not in ("", *sys.path)]
    os.chdir(cwd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(log, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs have it ignored
    sys.argv = ["ssl", *argv]


def leave(argv: list[str], last=lambda: None) -> None:
    """Run the command and end this process with its status."""
    from ssl_cli.cli import main

    try:
        status = main(argv)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    last()
    os._exit(status)


class Light:
    """Runs ``ssl`` in forks of a process without torch, one after the other, and looks at what they import."""

    def __init__(self):
        self.server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, argv: list[str], cwd: Path, log: Path, env: dict[str, str]) -> int:
        """Return the exit status; what was printed is in ``log``/out and err, the modules' names in ``log``/modules."""
        self.server.stdin.write(json.dumps([argv, str(cwd), str(log), env]).encode() + b"\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def close(self) -> None:
        self.server.stdin.close()
        self.server.wait()


def serve() -> None:
    """Import, then fork a child for each order that comes as a line."""
    import primed  # noqa: F401

    sys.path.remove(str(HERE))  # as an installed script has it
    for name in ("ssl_cli.config.compose", *COMMANDS):
        __import__(name)
    for line in sys.stdin:
        argv, cwd, log, env = json.loads(line)
        if (child := os.fork()) == 0:
            signal.alarm(300)
            become(argv, cwd, log, env)
            leave(argv, lambda log=log: Path(log, "modules").write_text("\n".join(sys.modules)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
