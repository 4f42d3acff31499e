"""The one parser of the commands that compose no config: flags as usual, errors as one line."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from ssl_cli.errors import UserError


class Parser(argparse.ArgumentParser):
    """Parses the arguments of one command.

    Args:
        command: its name.
        text: its help, which begins with ``usage: ssl COMMAND ...``.
    """

    def __init__(self, command: str, text: str):
        super().__init__(prog=f"ssl {command}", add_help=False, allow_abbrev=False)
        self.first_line = text.splitlines()[0]

    def error(self, message: str) -> NoReturn:
        """Raise ``UserError``: what was wrong, and how the command is used."""
        raise UserError(f"{message}; {self.first_line} (see `{self.prog} --help`)")


def names(text: str) -> list[str]:
    """Return the names in a text with commas between: the type of an option that takes several."""
    return [name.strip() for name in text.split(",") if name.strip()]


def trusted_modules(settings: Sequence[str]) -> list[str] | None:
    """Return the modules of ``trusted_modules=[A,B]``, the only setting of such commands; None for any other."""
    if any(not setting.startswith("trusted_modules=") for setting in settings):
        return None
    return [name for setting in settings for name in names(setting.split("=", 1)[1].strip("[]"))]
