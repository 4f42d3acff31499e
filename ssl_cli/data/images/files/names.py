"""File names as text: the same in every output format, never equal for two names, and reversible."""

import os
import re
import unicodedata
from collections.abc import Iterable

FEW = 6  # names in a line

# Never write these as they are to a table, log or terminal: bytes that are not UTF-8, controls, direction marks.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPED = "25|[01][0-9A-F]|7F|[89A-F][0-9A-F]"


def as_text(name: str | os.PathLike) -> str:
    """Return a file name as one line of UTF-8 text.

    A byte that is not UTF-8, and each byte of a control, becomes ``%`` and two hexadecimal digits. A ``%`` that looks
    like such an escape becomes ``%25``, so no two names have the same text. All other names do not change.
    """
    text = os.fsencode(name).decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable() and "%" not in text:  # nearly all, of a million
        return text
    text = re.sub(f"%(?={_ESCAPED})", "%25", text)
    return _HARMFUL.sub(lambda found: _percent(found[0].encode("utf-8", "surrogateescape")), text)


def as_name(text: str) -> str:
    """Return the file name from the text of `as_text`; Python can open the file with it."""
    escaped = re.compile(f"%({_ESCAPED})".encode())
    return os.fsdecode(escaped.sub(lambda found: bytes([int(found[1], 16)]), text.encode()))


def composed(text: str) -> str:
    """Return a text in Unicode's composed form (NFC): two ways to write the same name become equal."""
    return unicodedata.normalize("NFC", text)


def natural(text: str) -> tuple:
    """Return a sort key for a text that orders its numbers by value: 1, 2, 10."""
    parts = re.split("([0-9]+)", text)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), text


def last(path: str) -> str:
    """Return the last part of a path with forward slashes."""
    return path.rpartition("/")[2]


def few(names: Iterable[str]) -> str:
    """Join the first few names."""
    names = list(names)
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


def _percent(octets: bytes) -> str:
    return "".join(f"%{octet:02X}" for octet in octets)
