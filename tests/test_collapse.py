"""A collapse is seen: SimSiam without its stopped gradient warns, with it does not; the summary says which."""

import json


def watched(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "feature_std" in row]


def test_simsiam_collapses_without_stop_gradient_and_says_so(ssl, summary):
    quick = ["method=simsiam", "trainer.epochs=20", "probes.linear.labels=[all]", "trainer.batch_size=128"]
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
