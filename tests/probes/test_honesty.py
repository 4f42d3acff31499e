"""What makes the numbers trustworthy: a frozen backbone, and splits that do what they are for."""

import json
from dataclasses import replace

import pytest
from experiments import composed, train

from ssl_cli.data.labels import fingerprint
from ssl_cli.errors import RunError
from ssl_cli.methods.simclr import SimCLR
from ssl_cli.probes.frozen.features import extract
from ssl_cli.probes.measure import measure, measure_with_baselines, own_classifier
from ssl_cli.runs import checkpoint
from ssl_cli.setup.prepare import prepare
from ssl_cli.training.monitor import monitor_knn

QUICK = [
    "trainer.batch_size=64",
    "probes.linear.labels=[all]",
    "probes.propagate.labels=[all]",
    "backbone.widths=[8,16]",
]


@pytest.fixture(scope="module")
def experiment():
    return prepare(composed("train", ["method=supervised", "dataset.labels=4/class", *QUICK]))


def scrambled(data, split):
    """Return the data with the labels of one split shifted by one class."""
    labels = data.labels.clone()
    labels[data.splits[split]] = (labels[data.splits[split]] + 1) % data.num_classes
    return replace(data, labels=labels)


def test_a_backbone_that_changes_while_it_is_probed_is_found_out(experiment):
    e = experiment

    def drift(module, args, out):
        module.stem[1].running_mean.add_(0.1)

    hook = e.method.backbone.register_forward_hook(drift)
    try:
        with pytest.raises(RunError, match="changed while it was probed"):
            measure_with_baselines(e, e.probes, print)
    finally:
        hook.remove()


def test_training_looks_at_val_and_never_at_test(experiment):
    e = experiment
    seen = monitor_knn(e)
    assert monitor_knn(replace(e, data=scrambled(e.data, "test"))) == seen
    assert monitor_knn(replace(e, data=scrambled(e.data, "val"))) < seen


def test_the_own_classifier_is_scored_on_test(experiment):
    e = experiment
    at = e.data.splits["test"]
    features = extract(e.method.backbone, e.data.images, at, e.info, "cpu")
    expected = (e.method.eval().classifier(features).argmax(1) == e.data.labels[at]).double().mean().item()
    row = own_classifier(e).row
    assert row["mean"] == pytest.approx(expected) and row["split"] == "test" and row["labels"] == "4/class"


def test_the_rows_of_a_run_name_its_label_budget_and_none_twice(experiment):
    rows = measure(experiment, print).rows
    keys = [(row["model"], row["probe"], row["labels"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {labels for _, _, labels in keys} == {"4/class"}
    assert {model for model, _, _ in keys} == {"pixels", "random", "supervised"}
    assert all(row["settings"]["train_images"] == 40 for row in rows)
    assert all(row["settings"]["label_fingerprint"] == fingerprint(experiment.labelled) for row in rows)


def test_the_splits_are_part_of_what_a_checkpoint_knows(experiment):
    again = prepare(composed("train", ["method=supervised", "dataset.labels=4/class", *QUICK]))
    other = prepare(composed("train", ["method=supervised", "dataset.split_seed=1", *QUICK]))
    assert again.info == experiment.info
    assert other.info.splits != experiment.info.splits


def test_best_is_the_first_best_on_val_and_last_is_the_last(tmp_path):
    few = ["backbone.widths=[4,8]", "dataset.test_fraction=0.55"]
    _, run = train(tmp_path / "run", ["trainer.epochs=5", "trainer.eval_every=1", *few])
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    knn = {row["step"]: row["val_knn"] for row in rows if "val_knn" in row}
    best = checkpoint.load(run.checkpoint_file("best"))["progress"]
    assert best["best_knn"] == max(knn.values())
    assert best["step"] == min(step for step, value in knn.items() if value == max(knn.values()))
    assert checkpoint.load(run.checkpoint_file("last"))["progress"]["step"] == max(knn)


def test_a_method_is_told_of_every_step_and_epoch(tmp_path, monkeypatch):
    steps, epochs = [], []
    monkeypatch.setattr(SimCLR, "after_step", lambda self, progress: steps.append(progress))
    monkeypatch.setattr(SimCLR, "start_epoch", lambda self, epoch: epochs.append(epoch))
    few = ["backbone.widths=[4,8]", "dataset.test_fraction=0.55"]
    experiment, _ = train(tmp_path / "run", ["trainer.epochs=2", "trainer.eval_every=2", *few])
    total = experiment.total_steps
    assert steps == [(i + 1) / total for i in range(total)]
    assert epochs == [0, 1]
