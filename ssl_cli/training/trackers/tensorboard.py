"""TensorBoard: event files, written by the code of the package ``tensorboard`` itself, without torch's."""

import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ssl_cli.training.trackers.base import Row, TrackedRun, Tracker, markdown, require

PATTERN = "events.out.tfevents.*"
HEADER, CRC = 12, 4  # bytes of a record before and after its content: length and its CRC; the content's CRC


class TensorBoard(Tracker):
    """Event files in ``RUN/tensorboard``.

    A run that goes on begins a new file. Of the older files it cuts off what comes after its step, and what a kill has
    left half written; a TensorBoard that is open is told to forget these steps.

    Args:
        dir: a directory for the runs' directories, or None.
    """

    def __init__(self, *, dir: str | None):  # noqa: A002 (the tool's word)
        require("tensorboard", "tensorboard")
        self.dir = dir

    def open(self, run: TrackedRun, step: int) -> dict[str, int]:
        """Cut the files there are; begin a new one, at the first time with the config in it."""
        self.directory = Path(self.dir) / f"{run.name}-{run.id}" if self.dir else run.path / "tensorboard"
        self.directory.mkdir(parents=True, exist_ok=True)
        last = self._go_on(step)
        if not last:
            self._add(0, _text("config", f"```yaml\n{yaml.safe_dump(run.config, sort_keys=False)}```"))
        return last

    def write(self, rows: Sequence[Row]) -> None:
        """Write an event for each row."""
        for row in rows:
            values = ({"tag": name, "simple_value": value} for name, value in row.values.items())
            self._add(row.step, *values, at=row.time)

    def drop_after(self, step: int) -> None:
        """Cut the files again."""
        self.file.close()
        self._go_on(step)

    def picture(self, step: int, name: str, png: bytes) -> None:
        """Show a picture under its name."""
        from ssl_cli.training.pictures import size

        self._add(step, {"tag": name, "image": {**size(png), "colorspace": 3, "encoded_image_string": png}})

    def results(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show the final table as a text."""
        self._add(step, _text("results", markdown(rows)))

    def close(self, state: str) -> None:
        """Close the file."""
        self.file.close()

    def _go_on(self, step: int) -> dict[str, int]:
        """Cut the files after a step and begin the next one; return the last step of each tag."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        last: dict[str, int] = {}
        number = int(time.time())  # in the name: the files are read in the order of their names
        for file in sorted(self.directory.glob(PATTERN)):
            number = max(number, int(file.name.split(".")[3]) + 1)
            tags, end = {}, 0
            for event, end_of_event in events(file):
                if event.step > step:
                    break
                tags |= {value.tag: event.step for value in event.summary.value}
                end = end_of_event
            last |= tags
            if tags:
                with file.open("r+b") as stream:
                    stream.truncate(end)
            else:
                file.unlink()
        name = PATTERN.replace("*", f"{number}.{socket.gethostname()}")
        self.file = (self.directory / name).open("xb")
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))
        return last

    def _add(self, step: int, *values: Mapping[str, Any], at: float | None = None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._write(Event(step=step, summary={"value": values}), at)

    def _write(self, event: Any, at: float | None = None) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        event.wall_time = at or time.time()
        RecordWriter(self.file).write(event.SerializeToString())
        self.file.flush()


def events(file: Path) -> Iterator[tuple[Any, int]]:
    """Yield the whole events of a file, each with the number of bytes up to its end."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import masked_crc32c

    with file.open("rb") as stream:
        while len(header := stream.read(HEADER)) == HEADER:
            if struct.pack("<I", masked_crc32c(header[:8])) != header[8:]:
                return
            (length,) = struct.unpack("<Q", header[:8])
            content = stream.read(length)
            if len(content) < length or len(stream.read(CRC)) < CRC:
                return
            try:
                event = Event.FromString(content)
            except DecodeError:
                return
            yield event, stream.tell()


def _text(tag: str, text: str) -> dict[str, Any]:
    """Return what shows a text in Markdown."""
    content = {"dtype": "DT_STRING", "string_val": [text.encode()], "tensor_shape": {"dim": [{"size": 1}]}}
    return {"tag": tag, "metadata": {"plugin_data": {"plugin_name": "text"}}, "tensor": content}
