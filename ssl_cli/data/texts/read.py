"""The user's own texts: a table of them, lines of a file, or a folder of files."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ssl_cli.config.words import word
from ssl_cli.data.images.files.annotations import as_splits
from ssl_cli.data.images.files.cache import shown
from ssl_cli.data.images.files.columns import column
from ssl_cli.data.images.files.names import as_text, composed, few, natural
from ssl_cli.data.images.files.split_names import assigned, is_split, meaning
from ssl_cli.data.images.files.table import Table, read_table
from ssl_cli.data.images.files.tree import Tree
from ssl_cli.data.texts.base import TextData
from ssl_cli.errors import UserError, did_you_mean

TABLES, LINES, JSON = (".csv", ".tsv", ".tab"), (".txt", ".text"), (".jsonl", ".ndjson")
EXAMPLE = "text,label"
CONVERTED = ", read as Windows-1252"  # in a note: the file is not in UTF-8


def load(
    file: str | None = None,
    root: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    max_tokens: int = 64,
    vocabulary_size: int = 8192,
    tokenizer: str | None = None,
) -> TextData:
    """Load texts of the user's own.

    Args:
        file: a table (CSV, TSV) with a header, JSON lines, or a text file with one text a line.
        root: a folder with one folder a class, ``train/ test/`` of such, or texts without labels; ``.txt`` files.
        text_column: of the texts; None: by a usual name (text, sentence, ...).
        label_column: of the labels; None: by a usual name, if there is one; ``none``: no column.
        split_column: of train, val, test; likewise.
        group_column: of authors, threads, ...: each stays in one split; likewise.
        max_tokens: of a text that a network sees.
        vocabulary_size: tokens of the byte-pair encoding.
        tokenizer: see `TextData`.

    Raises:
        UserError: neither or both places are given, nothing can be read there, or what is said of the texts does not
            fit together.
    """
    if (file is None) == (root is None):
        raise UserError(
            "dataset=texts needs dataset.file=FILE.csv (or .tsv, .jsonl, .txt), or dataset.root=DIR with a folder of "
            ".txt files a class" + ("" if file is None else "; leave one of the two out")
        )
    if root is not None:
        data = _of_folder(Path(root).expanduser())
    else:
        data = _of_file(Path(file).expanduser(), text_column, label_column, split_column, group_column)
    return replace(data, max_tokens=max_tokens, vocabulary_size=vocabulary_size, tokenizer=tokenizer)


def _of_file(
    path: Path, text_column: str | None, label_column: str | None, split_column: str | None, group_column: str | None
) -> TextData:
    ending = path.suffix.lower()
    if path.is_dir():
        raise UserError(f"dataset.file={shown(path)} is a folder; write {word('dataset.root', path)}")
    if ending in LINES:
        named = {"text": text_column, "label": label_column, "split": split_column, "group": group_column}
        if given := [f"dataset.{kind}_column" for kind, name in named.items() if name is not None]:
            raise UserError(f"dataset.file={shown(path)} has a text a line and no columns; leave {few(given)} out")
        content, other = _content(path)
        texts = [line.strip() for line in _lines(content)]
        return _assembled(path.stem, [text for text in texts if text], note="a text a line" + CONVERTED * other)
    if ending not in TABLES + JSON:
        hint = ", ".join(TABLES + JSON + LINES)
        raise UserError(f"dataset.file={shown(path)} is none of {hint}; save it as one of these")
    if ending in JSON:
        content, other = _content(path)
        table, nested = _json_lines(path, content)
    else:
        table, nested, other = read_table(path, "dataset.file", EXAMPLE, "text", 1), {}, False
    used = {"text": column(table, "text", text_column, needed=True)}
    for kind, name in (("label", label_column), ("split", split_column), ("group", group_column)):
        used[kind] = column(table, kind, name, needed=False, taken=list(used.values()))
    if (name := next((name for name in used.values() if name in nested), None)) is not None:
        raise UserError(f"line {nested[name]} of {shown(path)} has a list or an object as '{name}'; write a text there")
    cells = {kind: {} if name is None else table.cells(name) for kind, name in used.items()}
    filled = {line: cell for line, cell in cells["split"].items() if cell}
    splits = as_splits(table, used["split"], filled)
    lines = [line for line, text in cells["text"].items() if text]
    unlabelled = {line for line, split in splits.items() if split == "unlabelled"}
    splits |= dict.fromkeys(unlabelled, "train")
    empty = len(table.rows) - len(lines)
    without = f"; {empty:,} row{'s' * (empty != 1)} without text left out" if empty else ""
    rest = [name for name in table.header if name and name not in used.values()]
    hint = ""
    if used["label"] is None and label_column is None and rest:
        hint = f"; no labels; dataset.label_column=NAME names their column, of {few(rest)}"
    said = ", ".join(f"{kind}s in column {name}" for kind, name in used.items() if name is not None)
    return _assembled(
        path.stem,
        [cells["text"][line] for line in lines],
        [None if line in unlabelled else cells["label"].get(line) or None for line in lines],
        [splits.get(line, "train") for line in lines] if used["split"] else [],
        [cells["group"].get(line) or None for line in lines] if used["group"] else [],
        note=f"{len(table.rows):,} rows, {said}{CONVERTED * other}{without}{hint}",
        where=[f"line {line}" for line in lines],
    )


def _of_folder(root: Path) -> TextData:
    if not root.is_dir():
        raise UserError(f"dataset.root={shown(root)} is not a folder; write dataset.root=DIR")
    tree = Tree(root, endings={".txt"}, noun="text")
    files = sorted(tree.files_below(""), key=natural)
    if not files:
        raise UserError(f"dataset.root={shown(root)} has no .txt file; write dataset.root=DIR with folders of them")
    tops = tree.inside("")
    named = [top for top in tops if is_split(top)]
    splits = assigned(named) if "train" in map(meaning, named) else {}
    if splits and (stray := [top for top in tops if meaning(top) is None]):
        beside = f"{few(map(as_text, named))} beside {few(map(as_text, stray))}"
        raise UserError(f"dataset.root={shown(root)} has {beside}; move what is stray")
    texts, labels, places, kept, converted = [], [], [], [], 0
    for file in files:
        *folders, _ = file.split("/")
        split = splits.get(folders[0]) if folders else None
        known = folders[1:] if split else folders
        text, other = _content(root / file)
        if not text.strip():
            continue
        kept.append(file)
        converted += other
        texts.append(text)
        labels.append(composed(as_text(known[0])) if known and meaning(known[0]) != "unlabelled" else None)
        places.append(split or "train")
    empty = len(files) - len(kept)
    note = f"{len(files):,} files" + (f", {converted} of them read as Windows-1252" if converted else "")
    note += f"; {empty:,} without text left out" if empty else ""
    loose = tree.files_in("") if tops else []
    beside = [f"without a label, beside the folders: {few(map(as_text, loose))}"] if loose else []
    note = "; ".join([note, *beside, *tree.notes()])
    return _assembled(
        as_text(root.resolve().name),
        texts,
        labels,
        places if splits else [],
        note=note,
        where=[as_text(file) for file in kept],
        files=tuple(str(root / file) for file in kept),
    )


def _assembled(
    name: str,
    texts: Sequence[str],
    labels: Sequence[str | None] = (),
    places: Sequence[str] = (),
    groups: Sequence[str | None] = (),
    note: str = "",
    where: Sequence[str] = (),
    files: tuple[str, ...] = (),
) -> TextData:
    """Return the data of texts [N] with a label, a split and a group of each, where there are such."""
    if not texts:
        raise UserError(f"{name} has no text; write dataset.file=FILE.csv with a column of texts")
    places, labels = places or ["train"] * len(texts), labels or [None] * len(texts)
    trained = {label for label, place in zip(labels, places, strict=True) if label is not None and place == "train"}
    known = sorted(trained, key=natural)
    for label, place, at in zip(labels, places, where or texts, strict=True):
        if label is not None and label not in trained:
            hint = did_you_mean(label, known)
            raise UserError(f"{at}, of {place}: no text of train is of its class '{label[:60]}'{hint}")
    number = {label: i for i, label in enumerate(known)} if len(known) > 1 else {}
    torn: dict[str, set[str]] = {}
    for group, place in zip(groups, places, strict=False):
        if group is not None:
            torn.setdefault(group, set()).add(place)
    if several := [group for group, at in torn.items() if len(at) > 1]:
        raise UserError(f"groups of {name} lie in several splits: {few(several)}; correct the column, or name another")
    numbers = {group: i for i, group in enumerate(torn)}
    ids = torch.tensor([numbers.get(group, -1) for group in groups], dtype=torch.int64) if groups else None
    splits = {
        split: torch.tensor([i for i, place in enumerate(places) if place == split], dtype=torch.int64)
        for split in dict.fromkeys(["train", *places])
    }
    return TextData(
        name=name,
        texts=tuple(texts),
        labels=torch.tensor([number.get(label, -1) for label in labels], dtype=torch.int64),
        classes=tuple(number),
        splits=splits,
        groups=ids,
        files=files,
        note=note,
    )


def _json_lines(path: Path, content: str) -> tuple[Table, dict[str, int]]:
    """Return the rows of a file, and of each key with a list or an object as its value the first line that has one."""
    rows, nested = {}, {}
    for number, line in enumerate(_lines(content), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"line {number} of {shown(path)} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f'line {number} of {shown(path)} is no object; write {{"text": "...", "label": "..."}}')
        rows[number] = {key: "" if value is None else _whole(str(value)) for key, value in row.items()}
        for key, value in row.items():
            if isinstance(value, (list, dict)):
                nested.setdefault(key, number)
    header = list(dict.fromkeys(key for row in rows.values() for key in row))
    if not header:
        raise UserError(f"dataset.file={shown(path)} has no line of JSON")
    return Table(path, header, {number: [row.get(key, "") for key in header] for number, row in rows.items()}), nested


def _whole(text: str) -> str:
    """Return a text without halves of surrogate pairs, which JSON can escape and no file in UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


def _lines(content: str) -> list[str]:
    r"""Return the lines by ``\n``, ``\r\n`` or ``\r``: a text may hold what Unicode calls a line end, too."""
    return io.StringIO(content, newline=None).read().split("\n")


def _content(path: Path) -> tuple[str, bool]:
    """Return the text of a file, and whether it is in Windows-1252 and not in UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {shown(path)}: {error.strerror}") from error
    if b"\0" in content:
        raise UserError(f"{shown(path)} is a binary file or in UTF-16, not a text in UTF-8; save it in UTF-8")
    try:
        return content.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace"), True
