"""Every method in conf/method, with its shipped defaults, learns something on the digits (about a minute each)."""

import json

import pytest
from experiments import CONF
from omegaconf import OmegaConf

METHODS = sorted(file.stem for file in (CONF / "method").glob("*.yaml") if not file.stem.startswith("_"))
# Predicting pixels or patches and modelling densities teach little of what a digit is (docs/results-digits.md).
WEAK = ("mae", "simmim", "cpc", "ebm", "jem")
FEATURE_STD, FEATURE_RANK = 0.2, 15.0  # floors of the deviation and the effective rank of the features on val


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_it_beats_the_pixels_and_the_random_network_and_does_not_collapse(ssl, summary, method):
    mixed = "mu" in OmegaConf.load(CONF / "method" / f"{method}.yaml")
    few_labels = ["dataset.labels=20/class"] if mixed else []
    outcome = ssl("train", f"method={method}", *few_labels, "hydra.run.dir=run", timeout=1800)
    assert outcome.status == 0, outcome.err
    result = summary(ssl.cwd / "run")
    few = {row["model"]: row["mean"] for row in result["results"] if row["labels"] == "10/class"}
    assert few[method] > (0.6 if method in WEAK else max(few["pixels"], few["random"]))
    rows = [json.loads(line) for line in (ssl.cwd / "run/metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if "feature_std" in row][-1]
    assert last["feature_std"] > FEATURE_STD and last["feature_rank"] > FEATURE_RANK
    assert result["collapsed"] is False
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < max(losses[: len(losses) // 2])
