"""Ranks learn what one does: for every method in conf/method the gradients of two gloo processes (slow: four), mean
over ranks, equal those of one process on the same global batch, to 1e-7 of the largest entry in float64.

BatchNorm is defined per rank unless it is synchronised, so both sides use the synchronised one. Two rounds are run, so
that queues, centres and banks that the first round filled take part in the second.
"""

import functools
import os
import socket
import unittest.mock
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from experiments import METHODS, SMALL, composed, small
from warm import start
from written_texts import sentences

from ssl_cli.batch import Batch, Task
from ssl_cli.config.kinds import kind_of
from ssl_cli.data.clips.info import ClipInfo
from ssl_cli.data.images.info import ImageInfo
from ssl_cli.data.loader import Loader
from ssl_cli.data.texts import vocabulary
from ssl_cli.data.texts.info import TextInfo
from ssl_cli.distributed.collectives import gather, rank_rows
from ssl_cli.distributed.norms import SyncedBatchNorm, synchronise_norms
from ssl_cli.runs.directory import RunDir
from ssl_cli.setup.parts import build_method, build_pretext
from ssl_cli.setup.prepare import prepare
from ssl_cli.training.loop import fit
from ssl_cli.training.metrics import Metrics

pytestmark = pytest.mark.long

FEW = ["swav", "moco", "fixmatch"]  # for four ranks, which take their time
BATCH = 32
INFO = ImageInfo("noise", 1, 16, tuple("0123456789"), 1024, 1024, 512, (0.5,), (0.25,))
CLIPS = ClipInfo("noise", 1, 4, 8, 8.0, 16, tuple("0123456789"), 2 * BATCH, 2 * BATCH, BATCH, (0.5,), (0.25,))
OTHERS = [f"text: {method}" for method in ("simclr", "predict", "fixmatch")]  # kinds of input other than images
OTHERS += [f"clip: {method}" for method in ("simclr", "predict", "cpc")]


@functools.cache
def texts() -> tuple[torch.Tensor, TextInfo]:
    """Return 64 texts as tokens, and the facts about them."""
    rows = [text for text, _ in sentences(2 * BATCH)]
    words = vocabulary.train(rows, 320, 16)
    info = TextInfo("texts", tuple("0123456789"), 2 * BATCH, 2 * BATCH, BATCH, words.tokenizer, 16)
    return words.encode(rows)[:], info


def info_of(config):
    return {"image": lambda: INFO, "clip": lambda: CLIPS, "text": lambda: texts()[1]}[kind_of(config.dataset)]()


def inputs_of(config, indices: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    kind = kind_of(config.dataset)
    if kind == "text":
        return texts()[0][indices]
    shape = (BATCH, 1, 16, 16) if kind == "image" else (BATCH, 8, 1, 16, 16)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def global_task(config, pretext, round_: int) -> Task:
    generator = torch.Generator().manual_seed(round_)
    indices = torch.arange(BATCH) + BATCH * round_
    labels = indices % 10
    if "mu" in config.method:  # labelled images first, as the loader has them
        labels[BATCH // (1 + config.method.mu) :] = -1
    batch = Batch(inputs_of(config, indices, generator), labels, indices)
    return pretext(batch, generator)


def own_task(task: Task, rank: int, world: int, mixed: bool) -> Task:
    def own(rows):
        rows = rows.view(BATCH, -1, *rows.shape[1:])  # the rotations of one image stay together
        # Of mixed batches every world-th image, so that each rank's rows begin with its share of the labelled ones.
        return (rows[rank::world] if mixed else rows.chunk(world)[rank]).flatten(0, 1)

    views = [own(view) for view in task.views]
    views = [view.double() if view.is_floating_point() else view for view in views]
    targets, masks = (None if t is None else own(t) for t in (task.targets, task.masks))
    if targets is not None and targets.is_floating_point():
        targets = targets.double()
    return Task(views, targets, own(task.labels), own(task.indices), masks)


def gradients(config, rank: int = 0, world: int = 1) -> dict[str, torch.Tensor]:
    """Return the parameter gradients and buffers after two rounds."""
    method = synchronise_norms(build_method(config, info_of(config)).double().train())
    pretext = build_pretext(config, info_of(config))
    for round_ in range(2):
        method.zero_grad()
        method.start_epoch(round_)
        torch.manual_seed(round_)
        method(own_task(global_task(config, pretext, round_), rank, world, "mu" in config.method))["loss"].backward()
        method.after_step((round_ + 1) / 2)
    found = {f"gradient of {k}": p.grad for k, p in method.named_parameters() if p.grad is not None}
    if world > 1:  # in one piece
        dist.all_reduce(whole := torch.cat([grad.flatten() for grad in found.values()]))
        pieces = (whole / world).split([grad.numel() for grad in found.values()])
        found = {k: piece.view_as(grad) for (k, grad), piece in zip(found.items(), pieces, strict=True)}
    return found | {f"buffer {k}": b.double() for k, b in method.named_buffers()}


def worker(rank: int, world: int, port: int, configs: dict, path: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=world)
    found = {name: gradients(config, rank, world) for name, config in configs.items()}
    found["loop"] = loop(Path(path) / f"run{rank}")
    torch.save(found, f"{path}/{rank}.pt")
    dist.destroy_process_group()


def loop(path: Path) -> dict[str, torch.Tensor]:
    """Return losses and weights after some steps of the loop; nothing is drawn for the images that depends on the rank.

    In float64: in float32 rounding alone grows to 3e-4 of the loss within four steps.
    """
    overrides = [
        "augment=none",
        "backbone.widths=[8,16,32]",
        "trainer.batch_size=64",
        "trainer.accumulate=2",
        "trainer.max_steps=4",
    ]
    experiment = prepare(composed("train", [*SMALL, *overrides, "trainer.eval_every=100"]))
    experiment.method.double()
    pretext = experiment.pretext

    def in_double(batch, generator):
        task = pretext(batch, generator)
        task.views = [view.double() for view in task.views]
        return task

    experiment.pretext = in_double
    run = RunDir.create(path, experiment.config, chosen_by_user=True)
    rows = []  # of each rank, though rank 0 alone writes them
    with (
        unittest.mock.patch("ssl_cli.training.loop.evaluate", lambda *_: (None, None)),  # it has float32 images
        unittest.mock.patch.object(Metrics, "write", lambda _, row: rows.append(row)),
    ):
        fit(experiment, run, None, SimpleNamespace(requested=False))
    return {"loss": torch.tensor([row["loss"] for row in rows if "loss" in row])} | experiment.method.state_dict()


def config_of(name: str):
    """Return the config of a method, with few enough clusters that k-means has enough images in the second round."""
    kind, _, method = name.rpartition(": ")
    if kind == "text":  # without dropout, which is drawn on each rank
        network = ["backbone.dim=16", "backbone.depth=1", "backbone.heads=2", "backbone.dropout=0.0"]
        pretext = ["pretext=masked_tokens"] if method == "predict" else []
        return composed("train", [f"method={method}", "dataset=texts", "dataset.file=t.csv", *network, *pretext])
    if kind == "clip":
        pretext = {"simclr": ["pretext=two_clips"], "predict": ["pretext=pace"], "cpc": ["method.skip=0"]}[method]
        return composed("train", [f"method={method}", "dataset=moving_shapes", "backbone.widths=[4,8]", *pretext])
    return composed("train", [*small(name, widths="[4,8]"), *(["method.clusters=10"] if name == "deepcluster" else [])])


def train(world: int, names: list[str], path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configs = {name: config_of(name) for name in names}
    ranks = [start(worker, rank, world, port, configs, str(path)) for rank in range(world)]
    for rank in ranks:
        rank.join(600)
    assert [rank.exitcode for rank in ranks] == [0] * world


@pytest.fixture(scope="module")
def two_ranks(made_once):
    path = made_once("two_ranks", partial(train, 2, [*METHODS, *OTHERS]))
    return [torch.load(path / f"{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def four_ranks(made_once):
    path = made_once("four_ranks", partial(train, 4, FEW))
    return [torch.load(path / f"{rank}.pt") for rank in range(4)]


@pytest.mark.parametrize("name", [*METHODS, *OTHERS])
def test_two_ranks_give_the_gradients_and_state_of_one(two_ranks, name):
    assert_as_one(name, two_ranks)


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_four_ranks_give_the_gradients_and_state_of_one(four_ranks, name):
    assert_as_one(name, four_ranks)


def assert_as_one(name: str, found: list[dict]) -> None:
    expected = gradients(config_of(name))
    assert all(expected.keys() == ranks[name].keys() for ranks in found)
    assert any(key.startswith("gradient") and value.abs().max() > 0 for key, value in expected.items())
    for key, value in expected.items():
        for ranks in found:
            scale = value.abs().max().item() if value.numel() else 0.0
            torch.testing.assert_close(
                ranks[name][key], value, rtol=0, atol=1e-7 * scale + 1e-12, msg=lambda m, k=key: f"{k}: {m}"
            )


@pytest.mark.parametrize("ranks", ["two_ranks", pytest.param("four_ranks", marks=pytest.mark.slow)])
def test_the_loop_gives_the_losses_and_weights_of_one_process(ranks, request, tmp_path):
    """The whole loop: loader, accumulation, DDP, optimizer, averaged metrics."""
    expected = loop(tmp_path / "run")
    assert len(expected["loss"]) == 4 and expected["loss"][0] != expected["loss"][1]
    for rank in request.getfixturevalue(ranks):
        assert rank["loop"].keys() == expected.keys()
        for key, value in expected.items():  # losses are averaged and written in float32
            tolerance = 1e-6 if key == "loss" else 1e-8
            scale = value.abs().max().item()
            torch.testing.assert_close(rank["loop"][key], value, rtol=0, atol=tolerance * scale + 1e-12)


@pytest.mark.parametrize(("world", "parts"), [(2, 1), (4, 1), (2, 2), (2, 4), (4, 2)])
def test_ranks_share_each_batch_and_each_of_its_parts(monkeypatch, world, parts):
    """Together they see the images of one process in each part, and each rank has its share of the labelled ones."""
    images = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    every, labelled = torch.arange(256), torch.arange(0, 256, 4)
    mixed = {"labelled": labelled, "labelled_per_batch": 16}
    sizes = {"batch_size": 64, "steps_per_epoch": 4, "seed": 3, "device": torch.device("cpu"), "parts": parts}

    def batch(rank: int, world: int, step: int):
        for name, value in (("world_size", world), ("rank", rank)):
            monkeypatch.setattr(f"ssl_cli.distributed.collectives.{name}", lambda value=value: value)
        return Loader(images, every % 10, every, **sizes, **mixed).batch(step)

    for step in range(6):
        whole = batch(0, 1, step)
        ranks = [batch(rank, world, step) for rank in range(world)]
        for part in range(parts):
            together = torch.cat([rank.indices[part::parts] for rank in ranks])
            assert sorted(together.tolist()) == sorted(whole.indices[part::parts].tolist())
        for rank in ranks:
            assert torch.equal(rank.images.flatten().long(), rank.indices) and len(rank.labels) == 64 // world
            assert ((rank.labels >= 0).nonzero().flatten() == torch.arange(16 // world)).all()


def test_rows_of_one_process_are_all_rows():
    assert torch.equal(rank_rows(torch.arange(6), parts=4), torch.arange(6))


def test_without_a_process_group_there_is_nothing_to_gather():
    x = torch.ones(2, 3, requires_grad=True)
    assert gather(x) is x


def test_synchronised_norm_is_batch_norm_on_one_rank_and_keeps_names():
    plain, synced = torch.nn.BatchNorm2d(3), synchronise_norms(torch.nn.BatchNorm2d(3))
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(synced(x), plain(x))
    assert isinstance(synced, SyncedBatchNorm) and synced.state_dict().keys() == plain.state_dict().keys()
