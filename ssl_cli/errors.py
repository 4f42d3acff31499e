"""The errors that a user is meant to read."""

import difflib
import errno
from collections.abc import Iterable


class UserError(Exception):
    """Bad input: shown as one line, exit status 2, no traceback.

    The message says what was wrong, what was expected and what to write instead.
    """


class RunError(Exception):
    """A run that could not go on for a reason that is not the command line's: one line, exit status 1."""


def is_of_disk(error: OSError) -> bool:
    """Tell whether an error is what a full, read-only or failing disk makes of a write."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the option nearest to ``name``, or ``""`` if none is near."""
    near = difflib.get_close_matches(name, list(options), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
