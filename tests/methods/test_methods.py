"""What must hold for every method in conf/method: a new file is tested without being listed.

That each goes on exactly where it was stopped is tested in tests/survival/test_resume.py.
"""

import copy
import json

import pytest
import torch
from experiments import METHODS, composed, small, tensors, train
from omegaconf import OmegaConf

from ssl_cli.config.build import instantiate
from ssl_cli.data.kinds import info_from
from ssl_cli.probes.measure import probe_trained
from ssl_cli.runs import checkpoint
from ssl_cli.setup.parts import build_method
from ssl_cli.setup.prepare import prepare
from ssl_cli.setup.restore import open_checkpoint


@pytest.fixture(scope="module", params=METHODS)
def finished(request, tmp_path_factory):
    """Two epochs on the digits."""
    path = tmp_path_factory.mktemp(request.param) / "run"
    overrides = [*small(request.param), "trainer.epochs=2", "trainer.eval_every=1"]
    if not any(item.startswith("dataset.labels") for item in overrides):  # the others' loss has a ramp: longer epochs
        overrides.append("dataset.test_fraction=0.55")
    return request.param, *train(path, overrides)


def test_the_loss_falls_and_everything_is_written(finished):
    _, experiment, run = finished
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == experiment.total_steps
    # A queue of random vectors is easy at first, so the loss of such a method rises before it falls.
    first = max(losses) if "queue" in dict(experiment.method.named_buffers()) else sum(losses[:5]) / 5
    if "energy_gap" not in rows[0]:  # the loss of contrastive divergence is about 0 from beginning to end
        assert sum(losses[-5:]) / 5 < first
    assert [row["epoch"] for row in rows if "val_knn" in row] == [1.0, 2.0]
    watched = [row for row in rows if "val_knn" in row][-1]
    assert all(f"feature_{name}" in watched for name in ("std", "rank", "alignment", "uniformity"))
    files = {file.name for file in run.path.iterdir()} - {"plots"}
    assert files == {"config.yaml", "metrics.jsonl", "train.log", "checkpoints"}


def test_every_trainable_parameter_gets_a_gradient(finished):
    experiment = prepare(finished[1].config)
    generator = torch.Generator().manual_seed(0)
    task = experiment.pretext(experiment.loader.batch(0), generator)
    experiment.method.train()
    experiment.method(task)["loss"].backward()
    for key, parameter in experiment.method.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


def test_a_checkpoint_alone_rebuilds_its_model(finished):
    _, experiment, run = finished
    state = checkpoint.load(run.checkpoint_file())
    method = build_method(OmegaConf.create(state["config"]), info_from(state["data"], state["config"]["dataset"]))
    method.load_state_dict(state["model"])
    images = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(method.eval().backbone(images), experiment.method.eval().backbone(images))


def test_the_backbone_stays_frozen_while_it_is_probed(finished):
    run = finished[2]
    small = ["probe.labels=[10/class]", "probe.draws=1", "probe.penalties=[0.01]"]
    config = composed("probe", ["ckpt=unused", "probe=linear", *small])
    trained = open_checkpoint(run.checkpoint_file(), config)
    _, result = probe_trained(trained, instantiate(config.probe), print, keep=False)
    assert result["frozen"]["before"] == result["frozen"]["after"]
    models = [row["model"] for row in result["results"]]
    assert models == sorted(models, key=["pixels", "random", finished[0]].index) and len(set(models)) == 3
    assert all(0.1 < row["mean"] <= 1 for row in result["results"])


def test_methods_that_may_not_see_labels_do_not(finished):
    config = copy.deepcopy(finished[1].config)
    config.dataset.labels = "4/class"
    experiment = prepare(config)
    batch = experiment.loader.batch(0)
    if experiment.method.learns_from == "images":
        assert (batch.labels == -1).all()
        assert len(experiment.loader.positions) == len(experiment.data.splits["train"])
    elif experiment.method.learns_from == "mixed":
        known = 64 // (1 + experiment.method.mu)
        assert torch.equal(batch.labels[:known], experiment.data.labels[batch.indices[:known]])
        assert set(batch.indices[:known].tolist()) <= set(experiment.labelled.tolist())
        assert (batch.labels[known:] == -1).all() and len(batch.labels) == 64
        seen = torch.cat([experiment.loader.batch(step).indices[known:] for step in range(19)])
        assert len(seen.unique()) == len(seen)  # within an epoch no unlabelled image twice
    else:
        assert len(experiment.loader.positions) == 40
        assert torch.equal(batch.labels, experiment.data.labels[batch.indices])


def test_one_seed_gives_one_result_and_another_another(tmp_path):
    runs = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(
            tmp_path / name, ["trainer.max_steps=3", f"seed={seed}", "trainer.eval_every=100", "backbone.widths=[8,16]"]
        )
        runs[name] = tensors(checkpoint.load(tmp_path / name / "checkpoints/last.pt")["model"])
    assert all(torch.equal(value, runs["b"][key]) for key, value in runs["a"].items())
    assert any(not torch.equal(value, runs["c"][key]) for key, value in runs["a"].items())
