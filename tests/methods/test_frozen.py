"""``method=frozen``: a run of no steps that is measured, saved, probed and begun from like any other."""

import json

import pytest
import torch
from experiments import composed, train

from ssl_cli.config.build import instantiate
from ssl_cli.probes.measure import probe_trained
from ssl_cli.runs import checkpoint
from ssl_cli.setup.initial import initialised
from ssl_cli.setup.plan import plan
from ssl_cli.setup.prepare import prepare
from ssl_cli.setup.restore import open_checkpoint

FEW = ["dataset=shapes", "dataset.num_images=140", "dataset.storage_size=16", "backbone.widths=[4,8]"]
FROZEN = ["method=frozen", *FEW, "trainer.batch_size=512", "trainer.max_steps=3"]


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A frozen run whose batch would be larger than its train split, and whose length is set in vain."""
    return train(tmp_path_factory.mktemp("frozen") / "run", FROZEN)


def test_nothing_is_trained_and_the_run_is_whole(frozen):
    e, run = frozen
    last, best = (checkpoint.load(run.checkpoint_file(name)) for name in ("last", "best"))
    assert last["progress"]["step"] == e.total_steps == 0 and last["progress"]["best_knn"] >= 0
    for key, value in prepare(e.config).method.state_dict().items():
        assert torch.equal(value, last["model"][key]) and torch.equal(value, best["model"][key]), key
    (row,) = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert row["step"] == 0 and row["val_knn"] == last["progress"]["best_knn"] and "feature_rank" in row


def test_the_plan_says_that_random_weights_stay_random(frozen):
    lines = dict(plan(frozen[0], "somewhere"))
    assert lines["learns from"] == "nothing: the network stays as it is"
    assert lines["starts from"].startswith("random weights, which nobody has trained") and "steps" not in lines


def test_it_is_probed_like_any_other(frozen):
    config = composed("probe", ["ckpt=unused", "probe=knn"])
    opened = open_checkpoint(frozen[1].checkpoint_file(), config)
    _, result = probe_trained(opened, instantiate(config.probe), print, keep=False)
    assert [row["model"] for row in result["results"]] == ["pixels", "random", "frozen"]
    assert result["results"][1]["mean"] == result["results"][2]["mean"]  # it is the same network


def test_it_goes_on_where_it_was_before_it_was_measured(frozen):
    e, run = frozen
    before = checkpoint.load(run.checkpoint_file())["model"]
    train(run.path, FROZEN)
    assert all(
        torch.equal(value, checkpoint.load(run.checkpoint_file())["model"][key]) for key, value in before.items()
    )


def test_a_runs_backbone_is_kept_frozen_with_the_normalisation_that_it_had(tmp_path):
    train(tmp_path / "run", ["method=simclr", *FEW, "trainer.max_steps=1", "trainer.batch_size=32"])
    saved = checkpoint.load(tmp_path / "run/checkpoints/last.pt")
    config = composed("train", [f"init={tmp_path / 'run'}", "method=frozen", "dataset=digits", "dataset.channels=3"])
    e = prepare(initialised(config, ["dataset=digits"], {"dataset"}))
    assert e.info.mean == tuple(saved["data"]["mean"]) and e.info.name == "digits"
    assert all(torch.equal(v, saved["model"][f"backbone.{k}"]) for k, v in e.method.backbone.state_dict().items())
