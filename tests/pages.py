"""README.md, CONTRIBUTING.md and the pages in docs/: text, commands, and the files that they tell you to write."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def write_files(page: str, cwd: Path) -> list[str]:
    """Write each block that follows the line "`FILE`:" to that file, and return their names."""
    found = re.findall(r"^`([\w/.]+)`:\n\n```(?:python|yaml)\n(.*?)^```", read(page), re.M | re.S)
    for name, text in found:
        (cwd / name).parent.mkdir(parents=True, exist_ok=True)
        (cwd / name).write_text(text)
    return [name for name, _ in found]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", read(page), re.M | re.S)


def commands(page: str) -> list[str]:
    return [line for block in blocks(page, "sh") for line in typed(block)]


def typed(block: str) -> list[str]:
    """Return the commands of a block."""
    return re.findall(r"(?:^|&& )(ssl .*)$", block, re.M)


def options(group: str) -> set[str]:
    return {file.stem for file in (ROOT / "conf" / group).glob("*.yaml") if not file.stem.startswith("_")}
