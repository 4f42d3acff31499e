"""The command line: which command, what it says about itself, and how it reports an error.

Neither torch nor hydra is imported at the top: ``ssl --help`` answers at once.
"""

import errno
import importlib
import os
import sys
from typing import TextIO

from ssl_cli import __version__
from ssl_cli.config.paths import conf_dir
from ssl_cli.errors import RunError, UserError, did_you_mean, is_of_disk, one_line
from ssl_cli.system.signals import exit_status, interruptible

# Each command is the module of that name in ssl_cli.commands; one that composes a config has conf/<command>.yaml.
COMMANDS = {
    "train": "train a representation (or resume a run), then measure it on the test split",
    "probe": "measure a trained run or checkpoint on a downstream task",
    "pick": "choose what to label next, as a table or as tasks of Label Studio",
    "predict": "write a class, its probability and how unlike it is for each input to a table",
    "embed": "write the features of a data set to a file",
    "export": "write the model to files that work without ssl: safetensors, timm, ONNX",
    "audit": "list what is wrong with images: copies, leaks, odd ones, labels that do not fit",
    "views": "show what a pretext makes of the data, before any training",
    "runs": "list the runs there are",
    "compare": "put runs, or groups of them, beside each other, with the noise of their differences",
    "report": "write one page with all there is to see of a run or a sweep",
    "check": "verify that a run is whole and resumes exactly; changes nothing",
}
HELP = """\
ssl {version}: learn from images, texts or video with few labels or none, and measure honestly what was learned.

usage: ssl COMMAND [GROUP=OPTION] [KEY=VALUE] [FLAGS]

commands
{commands}

  ssl COMMAND --help     the groups, their options, the settings people change most, examples
  ssl --version          the version
  ssl --shell-completion install=bash|zsh|fish    print the shell's completion script; to use it: eval "$(...)"

start here
  ssl train method=simclr                                    a measured result in about a minute, no download
  ssl train method=simclr dataset=folder dataset.root=DIR    on your own images
  ssl probe ckpt=last probe=linear                           measure the latest run again
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 the run failed, 2 bad input (one line on stderr), 124 the time budget is used up,
        130, 143, 138 or 129 interrupted.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    try:
        with interruptible():
            status = _dispatch(args)
        sys.stdout.flush()  # a full disk is found here, not while python exits
        return status
    except UserError as error:
        _complain(f"error: {one_line(error)}")
        return 2
    except RunError as error:
        _complain(f"error: {one_line(error)}")
        return 1
    except KeyboardInterrupt as error:
        _complain("interrupted")
        return exit_status(error)
    except BrokenPipeError:  # the reader (a pager, head) has gone
        _write_no_more(sys.stdout)
        return 141
    except OSError as error:
        if not is_of_disk(error) and error.errno != errno.EBADF:
            raise
        _write_no_more(sys.stdout)
        _complain(f"error: cannot write {error.filename or 'the output'}: {error.strerror}")
        return 1


def _open_closed_streams() -> None:
    """Let what goes to a closed standard stream (``>&-``) go nowhere; else the next file opened would get it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)
        setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 (until the end)


def _write_no_more(stream: TextIO) -> None:
    """Let the rest of an output go nowhere: python would complain once more while it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _complain(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # then the exit status tells
        _write_no_more(sys.stderr)


def _dispatch(args: list[str]) -> int:
    if _about(args):
        return 0
    if args[0] in ("-sc", "--shell-completion"):
        return _complete(args[1:])
    if args[0] not in COMMANDS:
        known = f"commands: {', '.join(COMMANDS)}; see `ssl --help`"
        raise UserError(f"unknown command '{args[0]}'{did_you_mean(args[0], COMMANDS)} ({known})")
    return importlib.import_module(f"ssl_cli.commands.{args[0]}").main(args[1:])


def _about(args: list[str]) -> bool:
    """Answer what needs no config: help and version. Tell whether that was all."""
    if not args or args[0] in ("-h", "--help", "help"):
        listing = "\n".join(f"  {name:<8}{text}" for name, text in COMMANDS.items())
        print(HELP.format(version=__version__, commands=listing), end="")
    elif args[0] in ("-V", "--version") or args[0] in COMMANDS and "--version" in args[1:]:
        print(f"ssl {__version__}")
    elif args[0] in COMMANDS and any(arg in ("-h", "--help") for arg in args[1:]):
        from ssl_cli.commands.help import command_help

        print(command_help(args[0], COMMANDS[args[0]], conf_dir()), end="")
    else:
        return False
    return True


def _complete(args: list[str]) -> int:
    """Let Hydra install its completion or answer a query; it knows no subcommands, so take the word out of the line."""
    from ssl_cli.config.compose import run_app

    words = os.environ.get("COMP_LINE", "").split(" ")
    query = any(arg.startswith("query") for arg in args)
    if query and len(words) <= 2:
        print(" ".join(name for name in COMMANDS if name.startswith(words[-1])))
        return 0
    command = words[1] if query and words[1] in COMMANDS else "train"
    if query:
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
    return run_app(command, ["-sc", *args], lambda config: 0, program="ssl")
