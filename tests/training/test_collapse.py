"""A collapse is seen: a method without what prevents it warns, with it does not; the summary says which.

The figures: pytest -n 0 -m slow tests/test_collapse.py -s
"""

import itertools
import json

import pytest
from experiments import train

LONG = [
    "backbone.widths=[16,32,64]",
    "trainer.batch_size=128",
    "trainer.epochs=20",
    "trainer.eval_every=5",
    *("~probes.linear", "~probes.propagate"),
]
PROVOKED = [
    *(["method=simsiam", "method.stop_gradient=false", f"seed={seed}"] for seed in range(4)),
    *(["method=vicreg", "method.variance=0", "method.covariance=0", f"seed={seed}"] for seed in range(3)),
    *(["method=siamese", "method.margin=0.01", f"seed={seed}"] for seed in range(3)),
]
HEALTHY = [
    [f"method={method}", f"seed={seed}"]
    for method, seed in itertools.product(
        ["simclr", "moco", "moco_v3", "nnclr", "byol", "simsiam", "vicreg", "barlow_twins", "swav", "dino"], range(2)
    )
]


def watched(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "feature_std" in row]


def test_simsiam_collapses_without_stop_gradient_and_says_so(ssl, summary):
    quick = ["method=simsiam", "trainer.epochs=4", "trainer.batch_size=64", "trainer.threads=1"]
    quick += ["backbone.widths=[8,16,32]", "trainer.eval_every=2", "optimizer.lr=0.01"]
    quick += ["~probes.linear", "~probes.propagate", "dataset.test_fraction=0.55"]  # 11 steps an epoch
    broken = ssl("train", *quick, "method.stop_gradient=false", "hydra.run.dir=broken")
    healthy = ssl("train", *quick, "hydra.run.dir=healthy")
    assert broken.status == healthy.status == 0, broken.err + healthy.err
    assert "warning: the embedding has collapsed" in broken.out
    assert "collapsed" not in healthy.out
    assert summary(ssl.cwd / "broken")["collapsed"] is True
    assert summary(ssl.cwd / "healthy")["collapsed"] is False
    last, good = watched(ssl.cwd / "broken")[-1], watched(ssl.cwd / "healthy")[-1]
    assert last["embedding_rank"] < good["embedding_rank"]
    for row in (last, good):
        for space in ("feature", "embedding"):
            assert {f"{space}_{name}" for name in ("std", "rank", "alignment", "uniformity")} <= row.keys()


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "expected"), [(PROVOKED, True), (HEALTHY, False)], ids=["provoked", "healthy"])
def test_a_collapse_is_told_from_health(tmp_path, runs, expected):
    said = {}
    for overrides in runs:
        path = tmp_path / "-".join(overrides)
        train(path, [*overrides, *LONG])
        said[" ".join(overrides)] = "has collapsed" in (path / "train.log").read_text()
        print(" ".join(overrides), "warned" if said[" ".join(overrides)] else "silent", watched(path)[-1])
    print(f"{sum(said.values())} of {len(said)} warned")
    assert set(said.values()) == {expected}, said
