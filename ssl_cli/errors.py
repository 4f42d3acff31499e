"""The errors that a user is meant to read."""

import difflib
import errno
import re
from collections.abc import Iterable


class UserError(Exception):
    """Bad input: shown as one line, exit status 2, no traceback.

    The message says what was wrong, what was expected and what to write instead.
    """


class RunError(Exception):
    """A run that could not go on for a reason that is not the command line's: one line, exit status 1."""


# Controls, and what turns the direction of writing: a file's name could redraw the terminal, or an error lie.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: object) -> str:
    """Return a text as one line that shows what could do something else than be read, as its escape."""
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], str(text))


def is_of_disk(error: OSError) -> bool:
    """Return whether an error comes from a full, read-only or failing disk."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the option nearest to ``name``, or ``""`` if none is near."""
    near = difflib.get_close_matches(name, list(options), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
