"""The rows of a prediction that is not finished: a file beside the table that knows what it is of, and goes on."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ssl_cli.errors import UserError

FORMAT = "ssl-prediction-part"


class Part:
    """``OUT.part``: a line that says what it is of, a line (JSON) for each row, and a mark after each chunk.

    What follows the last mark was cut off, and is computed again. One process at a time writes it.

    Args:
        out: the table that it becomes.
        about: plain values; a part of anything else is never gone on with.

    Raises:
        UserError: there is a part of something else, another process writes it, or it cannot be written; on entering.
    """

    def __init__(self, out: Path, about: dict[str, Any]):
        self.out, self.file = out, part_of(out)
        self.about = json.loads(json.dumps({"format": FORMAT, **about}))
        self.done = 0  # inputs that have their rows

    def __enter__(self) -> "Part":
        from filelock import FileLock, Timeout

        self.lock = FileLock(self.file.with_name(f".{self.file.name}.lock"), timeout=0)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.lock.acquire()
            self._open()
        except Timeout as error:
            raise UserError(f"another process writes {self.file}; wait for it, or write another out=FILE") from error
        except OSError as error:
            self._release()
            raise UserError(f"cannot write {self.file}: {error.strerror}; write out=FILE elsewhere") from error
        except UserError:
            self._release()
            raise
        return self

    def _open(self) -> None:
        """Open the file where its sound part ends; a new one begins with what it is of."""
        sound = self._sound() if self.file.exists() else 0
        self.stream = self.file.open("r+b" if self.file.exists() else "xb")
        self.stream.truncate(sound)
        self.stream.seek(sound)
        if not sound:
            self._write(self.about)

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self._release()

    def _release(self) -> None:
        if not self.lock.is_locked:
            return
        with contextlib.suppress(OSError):  # Windows does not remove what is open
            Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Append the rows of the next inputs."""
        self.done += len(rows)
        self._write(*rows, {"done": self.done})

    def rows(self) -> Iterator[list]:
        """Yield all rows, in order; a row is in memory only while it is looked at."""
        with self.file.open(encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("["):
                    yield json.loads(line)

    def remove(self) -> None:
        """Remove the file: the table is there."""
        self.file.unlink()

    def _write(self, *items: Any) -> None:
        self.stream.write("".join(f"{json.dumps(item)}\n" for item in items).encode())
        self.stream.flush()

    def _sound(self) -> int:
        """Return how many bytes can be kept: those up to the last mark. Sets ``done``."""
        with self.file.open("rb") as stream:
            first = stream.readline()
            if not first.endswith(b"\n") and json.dumps(self.about).encode().startswith(first):
                return 0  # it was cut off at once
            self._check(first)
            sound = end = len(first)
            for line in stream:
                end += len(line)
                if not line.startswith(b"["):
                    with contextlib.suppress(ValueError, KeyError, TypeError):
                        self.done, sound = int(json.loads(line)["done"]), end
        return sound

    def _check(self, first: bytes) -> None:
        try:
            there = json.loads(first)
            differing = [key for key in (*self.about, *there) if self.about.get(key) != there.get(key)]
        except (ValueError, TypeError, AttributeError):
            differing = ["format"]
        if "format" in differing:
            raise UserError(
                f"{self.file} is not the part of a prediction; nothing was overwritten: write another out=FILE"
            )
        if differing:
            raise UserError(
                f"{self.file} is part of another prediction: {', '.join(dict.fromkeys(differing))} differ; finish it "
                "with the command that began it, remove it, or write another out=FILE"
            )


def part_of(out: Path) -> Path:
    """Return the name of the part of a table."""
    return out.with_name(f"{out.name}.part")
