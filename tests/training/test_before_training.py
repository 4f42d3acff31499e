"""A run that begins with trained weights keeps them, and is measured beside them."""

import pytest
import torch
from experiments import composed, train

from ssl_cli.config.build import instantiate
from ssl_cli.probes.measure import measure, probe_trained
from ssl_cli.runs import checkpoint
from ssl_cli.setup.initial import initialised
from ssl_cli.setup.restore import before_training, open_checkpoint

FEW = ["dataset=shapes", "dataset.num_images=140", "dataset.storage_size=16", "backbone.widths=[4,8]"]
PROBES = ["probes.linear=null", "probes.propagate=null"]
SHORT = ["trainer.max_steps=2", "trainer.batch_size=32", "optimizer.lr=0.1", "schedule=constant", *PROBES]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return train(tmp_path_factory.mktemp("first") / "run", ["method=simclr", *FEW, *SHORT])


def begun(first, path, *overrides):
    """Go on from the first run's backbone, as `train` would."""
    config = initialised(
        composed("train", ["trainer.threads=1", *SHORT, f"init={first[1].path}", *overrides]), [], set()
    )
    from ssl_cli.runs.directory import RunDir
    from ssl_cli.setup.prepare import prepare
    from ssl_cli.training import loop

    class Never:
        requested = False

    e, run = prepare(config), RunDir.create(path, config, chosen_by_user=True)
    loop.fit(e, run, None, Never)
    return e, run


def models(rows) -> dict:
    return {row["model"]: row["mean"] for row in rows}


def test_the_row_of_before_is_the_network_as_it_was_given(first, tmp_path):
    e, run = begun(first, tmp_path / "run", "method=supervised")
    given = checkpoint.load(first[1].checkpoint_file())["model"]
    start = before_training(run.path, e.device, [], print)
    assert all(torch.equal(value, given[f"backbone.{key}"]) for key, value in start.state_dict().items())
    assert not torch.equal(e.method.backbone.stem[0].weight, start.stem[0].weight)
    rows = [row for row in measure(e, print, run.path).rows if row["probe"] == "knn"]
    assert [row["model"] for row in rows] == ["pixels", "random", "before", "supervised from simclr"]
    (theirs,) = [row for row in measure(first[0], print).rows if row["model"] == "simclr" and row["probe"] == "knn"]
    assert models(rows)["before"] == theirs["mean"]
    config = composed("probe", ["ckpt=unused", "probe=knn"])
    opened = open_checkpoint(run.checkpoint_file(), config)
    _, result = probe_trained(opened, instantiate(config.probe), print, keep=False)
    assert models(result["results"]) == models(rows)
    opened = open_checkpoint(run.checkpoint_file("start"), config)
    _, result = probe_trained(opened, instantiate(config.probe), print, keep=False)
    assert list(models(result["results"])) == ["pixels", "random", "supervised from simclr"]
    said = []
    run.checkpoint_file("start").write_bytes(b"torn")
    assert before_training(run.path, e.device, [], said.append) is None and "no row of before training" in said[0]


def test_a_backbone_that_stays_as_it_is_needs_no_such_row(first, tmp_path):
    e, run = begun(first, tmp_path / "run", "method=supervised", "trainer.freeze_backbone=true")
    assert not run.checkpoint_file("start").exists() and run.checkpoint_file("best").exists()
    assert "before" not in models(measure(e, print, run.path).rows)
    e, run = begun(first, tmp_path / "frozen", "method=frozen")
    assert "before" not in models(measure(e, print, run.path).rows)
    assert not run.checkpoint_file("start").exists()


def test_random_weights_have_none_before_them(first):
    assert not first[1].checkpoint_file("start").exists()
    assert "before" not in models(measure(*[first[0], print, first[1].path]).rows)
