"""What trackers have written of a run, read from their files: numbers by name and step, in the order of the files."""

import json
import struct
from pathlib import Path

BLOCK, HEAD = 32768, 7  # bytes of W&B's file: of a block, and before each part of a record

Series = dict[str, list[tuple[int, float]]]  # by name: step and value


def tensorboard(directory: Path) -> Series:
    """Read every event of every file, whatever TensorBoard would hide."""
    from ssl_cli.training.trackers.tensorboard import events

    found: Series = {}
    for file in sorted(directory.glob("*tfevents*")):
        for event, _ in events(file):
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def shown_by_tensorboard(directory: Path) -> Series:
    """Return the numbers that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(directory), {"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def mlflow(store: Path) -> Series:
    """Read the files of the only run that is there."""
    (run,) = [tag.parent.parent for tag in store.glob("*/*/tags/ssl.id")]
    assert [meta.parent for meta in store.glob("*/*/meta.yaml")] == [run], "there is another run"
    found: Series = {}
    for file in (run / "metrics").rglob("*"):
        if file.is_file():
            lines = [line.split() for line in file.read_text().splitlines()]
            found[str(file.relative_to(run / "metrics"))] = [(int(step), float(value)) for _, value, step in lines]
    return found


def wandb(folder: Path) -> Series:
    """Read the transaction log of the only run that is there."""
    (log,) = folder.glob("*run-*/*.wandb")
    found: Series = {}
    for record in _records(log.read_bytes()):
        if record.HasField("history"):
            items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for name, value in items.items():
                if not name.startswith("_") and isinstance(value, (int, float)):
                    found.setdefault(name, []).append((items["_step"], value))
    return found


def _records(content: bytes):
    from wandb.proto.wandb_internal_pb2 import Record

    at, parts = HEAD, b""  # the file's own head is as long
    while at + HEAD <= len(content):
        if BLOCK - at % BLOCK < HEAD:  # the rest of the block is empty
            at += BLOCK - at % BLOCK
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + HEAD])
        parts += content[at + HEAD : at + HEAD + length]
        at += HEAD + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def of_metrics(file: Path) -> Series:
    """Return what ``metrics.jsonl`` says, true and false as 1 and 0."""
    found: Series = {}
    for row in map(json.loads, file.read_text().splitlines()):
        for name, value in row.items():
            if name != "step" and value is not None:
                found.setdefault(name, []).append((row["step"], float(value)))
    return found
