"""What a run's backbone makes of inputs: its model and data brought back, its features, its neighbours."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import Tensor

from ssl_cli.config.stored import blaming_config
from ssl_cli.data.base import Data, split_fingerprint
from ssl_cli.data.dataset import load
from ssl_cli.errors import UserError
from ssl_cli.pretext.base import Pretext
from ssl_cli.probes.frozen.features import extract
from ssl_cli.setup.own_inputs import stored_node
from ssl_cli.setup.parts import build_pretext
from ssl_cli.setup.restore import rebuild_newest
from ssl_cli.system.device import choose_device
from ssl_cli.system.memory import keep_freed_memory

SHOWN = 500  # inputs on the plane
BANK = 5000  # train inputs among which neighbours are searched
QUERIES, NEIGHBOURS = 8, 5


@dataclass
class Neighbours:
    """Random queries and the inputs most like them, by the cosine of their features."""

    queries: Tensor  # [q] positions in the data set
    found: Tensor  # [q, k] positions, the nearest first


@dataclass
class Inspection:
    """What the pictures of a report are made of."""

    data: Data
    pretext: Pretext
    split: str  # of the inputs shown
    at: Tensor  # [n] positions of the inputs shown
    features: Tensor  # [n, d]
    neighbours: Neighbours
    step: int  # of the checkpoint
    root: str | None  # where the inputs are, if they are in files

    @property
    def labels(self) -> Tensor:
        """[n] int64, -1 where there is none."""
        return self.data.labels[self.at]


def inspect_run(run: Path, root: str | None, trusted: list[str], tell: Callable[[str], None]) -> Inspection:
    """Rebuild a run's model and data, and return the features of some of its inputs.

    Args:
        run: its directory.
        root: where the inputs are now; None: where they were.
        trusted: modules outside ssl_cli that the checkpoint's config may name.
        tell: is given a line for each thing that takes a while.

    Raises:
        UserError: one line about why not: no checkpoint, inputs gone or changed, foreign code.
    """
    keep_freed_memory()
    rebuilt = rebuild_newest(run, trusted)
    config, info = rebuilt.config, rebuilt.info
    node = OmegaConf.to_container(config.dataset, resolve=True)
    node = stored_node(node, run, None, file=root) if node.get("file") is not None else stored_node(node, run, root)
    tell(f"{info.noun}s of {info.name}")
    with blaming_config(run / "checkpoints"):
        data, pretext = load(node, info.seen_own), build_pretext(config, info)
    if split_fingerprint(data) != info.splits:
        raise UserError(f"the {info.noun}s of {info.name} are not those that the run was trained on")
    device = choose_device("auto")
    backbone = rebuilt.method.to(device).measured.requires_grad_(False)

    split, at = shown_inputs(data)
    bank = sample(data.splits["train"], BANK, seed=1)
    tell(f"features of {len(at)} {split} and {len(bank)} train {info.noun}s")
    features, keys = (extract(backbone, data.inputs, p, info, device) for p in (at, bank))
    neighbours = nearest(at[:QUERIES], features[:QUERIES], bank, keys, NEIGHBOURS)
    step, root = rebuilt.state["progress"]["step"], node.get("root")
    return Inspection(data, pretext, split, at, features, neighbours, step, root)


def shown_inputs(data: Data) -> tuple[str, Tensor]:
    """Return the split that is shown and positions [n] in it: of test, else val, else train; labelled ones if any."""
    split = next((s for s in ("test", "val") if len(data.splits[s])), "train")
    positions = data.splits[split]
    labelled = positions[data.labels[positions] >= 0]
    return split, sample(labelled if len(labelled) else positions, SHOWN, seed=0)


def sample(positions: Tensor, count: int, seed: int) -> Tensor:
    """Return at most ``count`` of the positions, at random, the same ones each time."""
    order = torch.randperm(len(positions), generator=torch.Generator().manual_seed(seed))
    return positions[order[:count]]


def nearest(queries: Tensor, features: Tensor, bank: Tensor, keys: Tensor, k: int) -> Neighbours:
    """Return for each query the ``k`` inputs of the bank whose features have the largest cosine, itself left out.

    Args:
        queries: [q] positions.
        features: [q, d] of the queries.
        bank: [n] positions.
        keys: [n, d] of the bank.
        k: fewer are returned of a smaller bank.
    """
    unit = torch.nn.functional.normalize
    similarity = unit(features, dim=1) @ unit(keys, dim=1).T
    similarity[queries[:, None] == bank] = -torch.inf  # without a test split the queries are train inputs
    k = min(k, len(bank) - 1)
    return Neighbours(queries, bank[similarity.topk(k, dim=1).indices])
