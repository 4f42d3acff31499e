"""Texts as Hydra's grammar and the shell read them: every command that is printed is made here, and can be pasted."""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

# Hydra's grammar reads these, and what is no number, true, false or null, as the text that they are.
_PLAIN = re.compile(r"[A-Za-z0-9_/\-+.%@*]+")
_ADDRESS = re.compile(r"[a-z]+://[A-Za-z0-9_/\-+.%@:]+")
_WORDS = ("true", "false", "null")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_SWEPT = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag)\(.*\)", re.DOTALL)


def in_quotes(text: str) -> str:
    """Return a text in the quotes in which Hydra's grammar reads every character as itself."""
    escaped = re.sub(r"(\\*)(?='|\Z)", lambda found: 2 * found[1], text).replace("'", r"\'")
    return f"'{escaped}'"


def is_plain(text: str) -> bool:
    """Return whether Hydra's grammar reads a text as itself without quotes: not ``2024``, ``true``, ``a=b``."""
    if _ADDRESS.fullmatch(text):
        return True
    if not _PLAIN.fullmatch(text) or text.lower() in _WORDS:
        return False
    try:
        float(text)  # which takes a little more than Hydra does
    except ValueError:
        return True
    return False


def is_quoted(text: str) -> bool:
    """Return whether a text is one in quotes, as Hydra's grammar has them."""
    return _QUOTED.fullmatch(text) is not None


def without_quotes(text: str) -> str:
    """Return the text that Hydra's grammar reads in one that may be in quotes."""
    if not is_quoted(text):
        return text
    quote, inside = text[0], text[1:-1]
    found = re.sub(rf"(\\+)(?={quote}|\Z)", lambda match: match[1][: (len(match[1]) + 1) // 2], inside)
    return found.replace(f"\\{quote}", quote)


def typed_text(value: str, sweep: bool, several: bool = False) -> str:
    """Return what was typed for a setting that is a text, so that Hydra reads it as one whatever it looks like.

    What Hydra means itself stays: ``null``, texts in quotes, ``${...}``; in a sweep ``a,b`` and ``choice(a,b)``.

    Args:
        value: as typed after ``KEY=``.
        sweep: whether commas part the values of a sweep.
        several: whether the setting is a list of texts, ``[a,b]``; one text stands for itself.
    """
    if not value or value.lower() == "null" or "${" in value or is_quoted(value):
        return value
    if sweep and _SWEPT.fullmatch(value):
        return value
    if sweep and len(parts := list(_parts(value))) > 1:
        return ",".join(typed_text(part, False, several) for part in parts)
    if several and value.startswith("[") and value.endswith("]"):
        return f"[{','.join(typed_text(item, False) for item in _parts(value[1:-1]))}]"
    return value if is_plain(value) else in_quotes(value)


def _parts(value: str) -> Iterator[str]:
    """Yield what stands between the commas that are in no quotes and no brackets."""
    part, depth = "", 0
    for piece in re.findall(rf"{_QUOTED.pattern}|.", value, re.DOTALL):
        depth += (piece == "[") - (piece == "]")
        if piece == "," and depth <= 0:
            yield part.strip()
            part = ""
        else:
            part += piece
    if part.strip():
        yield part.strip()


def setting(key: str, value: Any) -> str:
    """Return ``KEY=VALUE`` as Hydra's grammar reads it; the shell's quotes are not there yet, see `command`."""
    return f"{key}={_value(value)}"


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_value(item)}" for key, item in value.items()) + "}"
    text = str(value).replace("${", r"\${")
    return text if is_plain(text) else in_quotes(text)


def command(*words: Any, **settings: Any) -> str:
    """Return a command as it can be pasted into a shell.

    Args:
        words: of the command line, each as the program is to get it: ``"ssl"``, ``"train"``, ``"dataset=folder"``, a
            path. What may hold any characters in a setting is made with `setting`.
        settings: further ones, in Hydra's grammar.
    """
    return shlex.join([*map(str, words), *(setting(key, value) for key, value in settings.items())])


def word(key: str, value: Any) -> str:
    """Return ``KEY=VALUE`` as it can be pasted into a command: quoted for Hydra, then for the shell."""
    return shlex.quote(setting(key, value))
