"""README.md and the pages in docs/: their text, and the files that they tell you to write."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def write_files(page: str, cwd: Path) -> list[str]:
    """Write each block that follows the line "`FILE`:" to that file, and return their names."""
    found = re.findall(r"^`([\w/.]+)`:\n\n```(?:python|yaml)\n(.*?)^```", read(page), re.M | re.S)
    for name, text in found:
        (cwd / name).parent.mkdir(parents=True, exist_ok=True)
        (cwd / name).write_text(text)
    return [name for name, _ in found]
