"""Names from data made fit to be shown: one line, printable, not too long."""

import unicodedata


def plain(name: object, limit: int = 60) -> str:
    """Return a name as one line of at most ``limit`` characters.

    What cannot be shown (control characters, bytes of a file name that are no text) becomes a replacement character;
    marks that turn the direction of writing are left out, for they would reorder what stands around them.
    """
    text = str(name).encode("utf-8", "replace").decode("utf-8")
    kinds = ((character, unicodedata.category(character)) for character in text)
    text = "".join(
        "\N{REPLACEMENT CHARACTER}" if kind in ("Cc", "Cs", "Co", "Cn") else c for c, kind in kinds if kind != "Cf"
    )
    return text if len(text) <= limit else text[: limit - 1] + "…"
