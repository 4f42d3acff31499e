"""What must hold for every method that takes texts, on a small collection of them."""

import pytest
import torch
from experiments import CONF, composed, options, tensors, train
from omegaconf import OmegaConf
from written_texts import write_table

from ssl_cli.probes.knn import KNN
from ssl_cli.probes.measure import probe_trained
from ssl_cli.runs import checkpoint
from ssl_cli.setup.initial import initialised
from ssl_cli.setup.prepare import prepare
from ssl_cli.setup.restore import open_checkpoint

pytest.importorskip("tokenizers")

PRETEXT = {"predict": "masked_tokens"}  # where the method's own is for images
METHODS = [name for name in options("method", "text") if name != "frozen"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("texts") / "t.csv", 100)


def settings(method: str, file) -> list[str]:
    mixed = "mu" in OmegaConf.load(CONF / "method" / f"{method}.yaml")
    return [
        *(f"method={method}", "dataset=texts", f"dataset.file={file}", "dataset.vocabulary_size=320"),
        *("dataset.max_tokens=16", "backbone.dim=16", "backbone.depth=1", "backbone.heads=2"),
        *([f"pretext={PRETEXT[method]}"] if method in PRETEXT else []),
        *(["dataset.labels=4/class"] if mixed else []),
        *(["method.prototypes=4"] if method in ("swav", "dino") else []),
        *("trainer.max_steps=3", "trainer.eval_every=100", f"trainer.batch_size={48 if mixed else 32}"),
    ]


def test_these_are_the_methods_that_take_texts():
    assert {"simclr", "moco", "byol", "supcon", "fixmatch", "flexmatch", "predict", "mean_teacher"} <= set(METHODS)
    assert not {"mae", "simmim", "cpc", "jem", "ebm"} & set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_it_trains_resumes_bitwise_and_comes_back_from_its_checkpoint(method, file, tmp_path):
    overrides = settings(method, file)
    experiment, run = train(tmp_path / "straight", overrides)
    train(tmp_path / "broken", overrides, stop_after=2)
    train(tmp_path / "broken", overrides)
    one, other = (tensors(checkpoint.load(tmp_path / f"{n}/checkpoints/last.pt")) for n in ("straight", "broken"))
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    opened = open_checkpoint(run.checkpoint_file(), composed("probe", [f"ckpt={run.path}", "trainer.threads=1"]))
    assert opened.info == experiment.info and opened.data.vocabulary == experiment.data.vocabulary


def test_a_run_is_probed_beside_tf_idf(file, tmp_path):
    experiment, run = train(tmp_path / "run", settings("simclr", file))
    opened = open_checkpoint(run.checkpoint_file(), composed("probe", [f"ckpt={run.path}", "trainer.threads=1"]))
    measurement, _ = probe_trained(opened, KNN(labels=["all"]), lambda line: None)
    assert [row["model"] for row in measurement.rows] == ["tfidf", "random", "simclr"]


def test_without_any_change_both_views_are_one_and_the_watch_says_so(file, tmp_path):
    from ssl_cli.training.monitor import SAME

    overrides = [*settings("simclr", file), "augment=text_none"]
    told = {}
    for name, dropout in (("none", 0.0), ("some", 0.1)):
        experiment, run = train(tmp_path / name, [*overrides, f"backbone.dropout={dropout}"])
        lines = (run.path / "train.log").read_text()
        told[name] = SAME.format(noun="text") in lines
    assert told == {"none": True, "some": False}


def test_another_data_set_is_cut_into_the_tokens_of_the_run_that_it_starts_from(file, tmp_path):
    experiment, run = train(tmp_path / "run", settings("simclr", file))
    run.write("tokenizer.json", experiment.data.kept()["tokenizer.json"])
    other = write_table(tmp_path / "other.csv", 60)
    typed = [f"dataset.file={other}", "dataset=texts", "method=supervised", f"init={run.path}"]
    small = ["dataset.max_tokens=16", "trainer.batch_size=16"]
    config = initialised(composed("train", [*small, *typed]), typed, ["dataset"])
    assert config.dataset.tokenizer == str(run.path / "tokenizer.json")
    assert prepare(config).info.tokenizer == experiment.info.tokenizer
