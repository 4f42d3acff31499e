"""``ssl embed``: write the features of inputs, for whatever comes next."""

import csv
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ssl_cli.config.compose import run_app
from ssl_cli.data.budget import parse_budget
from ssl_cli.data.images.files.names import as_text
from ssl_cli.errors import UserError, did_you_mean
from ssl_cli.runs.catalog import checkpoint_file, unused_path

if TYPE_CHECKING:
    import numpy as np

SPLITS = ("all", "train", "val", "test")


def main(args: Sequence[str]) -> int:
    """Compose the config and run the command. Returns the exit status."""
    return run_app("embed", args, run)


def run(config: DictConfig) -> int:
    """Write one row an input: its position, file name, label, split and features. Returns 0."""
    if config.split not in SPLITS:
        raise UserError(f"split={config.split} is not one of {', '.join(SPLITS)}{did_you_mean(config.split, SPLITS)}")
    file = checkpoint_file(config.ckpt)
    if config.dataset is not None:
        parse_budget(str(config.dataset.labels))
    if config.out is not None:
        check_out(Path(config.out))

    from ssl_cli.setup.restore import open_checkpoint

    trained = open_checkpoint(file, config, list(HydraConfig.get().overrides.task))
    if trained.note:
        print(trained.note)
    out = Path(config.out) if config.out is not None else default_out(file, trained.data.name, config)
    table = embedded(trained, str(config.split), config.layer)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write(out, table)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; write out=FILE elsewhere") from error
    n, dim = table["features"].shape
    print(f"{n:,} {trained.data.noun}s of {trained.data.name}, {dim} features each, from {file}")
    print(f"features: {out}")
    return 0


def check_out(out: Path) -> None:
    """Raise ``UserError`` for a file that is there, of no known kind, or of a kind that needs a missing package."""
    if out.suffix not in WRITERS:
        raise UserError(f"out={out} has no known ending; write one of {', '.join(f'out=FILE{s}' for s in WRITERS)}")
    if out.exists():
        raise UserError(f"{out} exists; nothing was overwritten: write another out=FILE{out.suffix}")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError("a .parquet file needs pyarrow: pip install 'ssl-cli[parquet]', or write out=FILE.npz")


def default_out(checkpoint: Path, dataset: str, config: DictConfig) -> Path:
    """Return a file that is not there yet, named by what was chosen, in the run that the checkpoint is of."""
    parts = [dataset, *([config.split] if config.split != "all" else [])]
    parts += [f"layer{config.layer}"] if config.layer is not None else []
    name = "-".join("".join(c if c.isalnum() or c in "._" else "_" for c in part).lstrip(".") for part in parts)
    return unused_path(checkpoint, "embeddings", f"{name or 'images'}.npz")


def embedded(trained: Any, split: str, layer: int | None) -> "dict[str, np.ndarray]":
    """Return ``position`` [n], ``path``, ``label`` (a class's name) and ``split`` [n] texts, and ``features`` [n, d].

    Inputs stand in the order of the data set. ``path`` is relative to the data set's folder, and empty where inputs
    come from no files; ``label`` is empty where there is none.

    Raises:
        UserError: the split has no input, or the backbone not that layer.
    """
    import numpy as np
    import torch

    from ssl_cli.probes.frozen.features import extract
    from ssl_cli.probes.frozen.networks import Layer

    data = trained.data
    parts = {name: at for name, at in data.splits.items() if split in ("all", name)}
    at = torch.cat(list(parts.values()))
    if not len(at):
        raise UserError(f"split={split} of {data.name} has no {data.noun}; write split=all")
    where = np.repeat(list(parts), [len(part) for part in parts.values()])
    order = at.argsort()
    at, where = at[order], where[order.numpy()]
    network = trained.method.measured
    network = network if layer is None else Layer(network, layer)
    features = extract(network, data.inputs, at, trained.info, trained.device)
    root = Path(str(trained.node.get("root"))).expanduser()
    return {
        "position": at.numpy(),
        "path": np.array(
            [relative(data.files[i], root) + data.within_file(i) for i in at.tolist()] if data.files else [""] * len(at)
        ),
        "label": np.array([data.classes[y] if y >= 0 else "" for y in data.labels[at].tolist()]),
        "split": where,
        "features": features.numpy(),
    }


def relative(file: str, root: Path) -> str:
    """Return a file's name relative to the data set's folder, with forward slashes, as `names.as_text` writes it."""
    path = Path(file)
    return as_text((path.relative_to(root) if path.is_relative_to(root) else path).as_posix())


def write(out: Path, table: "dict[str, np.ndarray]") -> None:
    """Write a new file of the kind that its ending says, whole or not at all; nothing is overwritten."""
    from ssl_cli.system.atomic import replace

    payload = WRITERS[out.suffix](table)
    check_out(out)  # once more: computing took its time
    replace(out, payload)


def as_npz(table: "dict[str, np.ndarray]") -> bytes:
    """Return plain arrays: ``numpy.load(file, allow_pickle=False)``."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **table)
    return buffer.getvalue()


def as_csv(table: "dict[str, np.ndarray]") -> bytes:
    """Return a header and a row an input; the features are ``f0``, ``f1``, ..."""
    *facts, features = table.values()
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([*list(table)[:-1], *(f"f{i}" for i in range(features.shape[1]))])
    writer.writerows([*row, *map(str, values)] for *row, values in zip(*facts, features, strict=True))
    return buffer.getvalue().encode()


def as_parquet(table: "dict[str, np.ndarray]") -> bytes:
    """Return the columns of the CSV file, typed."""
    import pyarrow
    import pyarrow.parquet

    *facts, (_, features) = table.items()
    columns = {name: pyarrow.array(values.tolist()) for name, values in facts}
    columns |= {f"f{i}": pyarrow.array(values) for i, values in enumerate(features.T)}
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


WRITERS = {".npz": as_npz, ".csv": as_csv, ".parquet": as_parquet}
