"""What functions and classes of four installed libraries say of themselves: texts in four classes, no download."""

import ast
import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch

from ssl_cli.data.images.files.cache import user_cache_dir
from ssl_cli.data.texts.base import TextData
from ssl_cli.errors import UserError
from ssl_cli.system import atomic

LIBRARIES = {"scikit-learn": "sklearn", "numpy": "numpy", "scipy": "scipy", "matplotlib": "matplotlib"}
PLACEHOLDER = "library"  # stands where a text names a library
RULES = 1  # version of the rules below; part of the name of what is kept
LEFT_OUT = ("tests", "externals", "extern", "_vendor")  # folders: of others, or not written for readers
_NAMES = re.compile(r"scikit[- _]?learn|sklearn|numpy|scipy|matplotlib|pyplot|pylab|\b(?:np|sp|plt|mpl)\b", re.I)
_SECTION = re.compile(
    r"^[ \t]*(Parameters|Other Parameters|Returns|Yields|Receives|Raises|Warns|Warnings?|See Also|Notes|References"
    r"|Examples?|Attributes|Methods)[ \t]*\n[ \t]*[-=]{3,}|^[ \t]*>>>",
    re.M,
)
_RULER = re.compile(r"^[ \t]*[-=~*^]{3,}[ \t]*$", re.M)


def load(
    least_words: int = 8,
    max_tokens: int = 64,
    vocabulary_size: int = 8192,
    tokenizer: str | None = None,
    test_share: float = 0.2,
    val_share: float = 0.08,
) -> TextData:
    """Load the descriptions in the docstrings of scikit-learn, numpy, scipy and matplotlib; class = library.

    Public modules, classes, functions and methods are found by parsing the source. A text is a docstring up to its
    first section (Parameters, ...), on one line; names of the libraries become the word ``library``. Texts that
    occur twice count once, those that two libraries share not at all.

    The split of a text follows from its fingerprint alone, so that with another version of a library all other texts
    stay where they are.

    Args:
        least_words: of a text; shorter ones are left out.
        max_tokens: of a text that a network sees.
        vocabulary_size: tokens of the byte-pair encoding.
        tokenizer: see `TextData`.
        test_share: share of the texts in test.
        val_share: share of the texts in val.

    Raises:
        UserError: fewer than two of the libraries are installed.
    """
    versions = {name: _version(name) for name in LIBRARIES}
    found = {name: number for name, number in versions.items() if number is not None}
    if len(found) < 2:
        raise UserError(f"dataset=docstrings reads {', '.join(LIBRARIES)}, of which {len(found)} are installed")
    rows = _kept(found, least_words)
    classes = tuple(found)
    texts = tuple(text for text, _ in rows)
    place = torch.tensor([int(_digest(text)[:8], 16) / 2**32 for text in texts], dtype=torch.float64)
    test, val = place < test_share, (place >= test_share) & (place < test_share + val_share)
    missing = [name for name in LIBRARIES if name not in found]
    note = "descriptions in " + ", ".join(f"{name} {number}" for name, number in found.items())
    note += f"; not installed: {', '.join(missing)}" if missing else ""
    return TextData(
        name="docstrings",
        texts=texts,
        labels=torch.tensor([classes.index(name) for _, name in rows]),
        classes=classes,
        splits={"train": (~test & ~val).nonzero()[:, 0], "val": val.nonzero()[:, 0], "test": test.nonzero()[:, 0]},
        note=note,
        max_tokens=max_tokens,
        vocabulary_size=vocabulary_size,
        tokenizer=tokenizer,
    )


def described(source: str | bytes) -> Iterator[str]:
    """Yield the descriptions in the public docstrings of a module's source, in their order, names masked."""
    for text in _docstrings(ast.parse(source)):
        yield masked(" ".join(_RULER.sub(" ", _SECTION.split(text, maxsplit=1)[0]).split()))


def masked(text: str) -> str:
    """Return a text in which names of the libraries, and the short ones they are imported by, are one word."""
    return _NAMES.sub(PLACEHOLDER, text)


def _docstrings(node: ast.AST) -> Iterator[str]:
    if (text := ast.get_docstring(node)) is not None:
        yield text
    for inner in node.body:
        if isinstance(inner, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not inner.name.startswith("_"):
            if isinstance(inner, ast.ClassDef):
                yield from _docstrings(inner)
            elif (text := ast.get_docstring(inner)) is not None:
                yield text


def _kept(found: dict[str, str], least_words: int) -> list[tuple[str, str]]:
    """Return texts with their libraries: from the user's cache, or read from the source, which takes far longer."""
    key = _digest(json.dumps([RULES, found, least_words]))[:16]
    file = user_cache_dir() / f"docstrings-{key}.json"
    with contextlib.suppress(OSError, ValueError):
        rows = json.loads(file.read_text(encoding="utf-8"))
        return [(str(text), str(name)) for text, name in rows]
    rows = _read(found, least_words)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.replace(file, json.dumps(rows).encode())
    return rows


def _read(found: dict[str, str], least_words: int) -> list[tuple[str, str]]:
    libraries: dict[str, set[str]] = {}
    for name in found:
        root = Path(find_spec(LIBRARIES[name]).origin).parent
        for file in sorted(root.rglob("*.py")):
            if set(file.relative_to(root).parts) & set(LEFT_OUT):
                continue
            with contextlib.suppress(SyntaxError, ValueError, OSError):  # a template, say
                for text in described(file.read_bytes()):
                    if len(text.split()) >= least_words:
                        libraries.setdefault(text, set()).add(name)
    return [(text, *names) for text, names in libraries.items() if len(names) == 1]


def _version(name: str) -> str | None:
    spec = find_spec(LIBRARIES[name])
    if spec is None or spec.origin is None:
        return None
    with contextlib.suppress(PackageNotFoundError):
        return version(name)
    return "of unknown version"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
