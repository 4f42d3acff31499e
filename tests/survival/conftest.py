"""Runs that nothing has happened to, to compare others with."""

from functools import partial

import pytest
from forks import arguments, ends
from warm import command, finish


@pytest.fixture(scope="session")
def straight(made_once):
    """Return the end of an unbroken run of a method, made once."""

    def make(method, cwd):
        assert finish(command, arguments(method), cwd) == 0, (cwd / "err").read_text()

    return lambda method: ends(made_once(f"straight-{method}", partial(make, method)) / "run")
