"""Runs that nothing has happened to, to compare others with."""

import pytest
from forks import arguments, command, ends, finish


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """Return the end of an unbroken run of a method, made once."""
    found = {}

    def get(method):
        if method not in found:
            cwd = tmp_path_factory.mktemp(method)
            assert finish(command, arguments(method), cwd) == 0, (cwd / "err").read_text()
            found[method] = ends(cwd / "run")
        return found[method]

    return get
