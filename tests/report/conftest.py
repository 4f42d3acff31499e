"""A run whose data has hostile names, and its report."""

import shutil

import numpy as np
import pytest
from PIL import Image
from report_pages import NAMES, called, files


@pytest.fixture(scope="session")
def run(made_once):
    """A short run on images in folders with names that are markup, mathematics and Chinese; and its report."""
    return made_once("report", make) / "run"


def make(root):
    random = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        (root / "images" / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 60, (16, 16, 3), dtype=np.uint8)
            pixels[..., label] += 120
            Image.fromarray(pixels).save(root / "images" / name / f"<b>{i}.png")
    settings = ["dataset=folder", "dataset.root=images", "dataset.storage_size=16", "trainer.batch_size=16"]
    settings += [
        "trainer.threads=1",
        "trainer.max_steps=2",
        "trainer.log_every=1",
        "backbone.widths=[4,8]",
        "method.hidden_dim=8",
    ]
    settings += ["method.out_dim=8", "probes.linear.draws=2", "probes.linear.labels=[all,1/class]"]
    settings += [f"dataset.cache_dir={root / 'cache'}", "hydra.run.dir=run"]
    assert called(root, "train", "method=simclr", *settings) == 0
    before = files(root / "run")
    assert called(root, "report", "run") == 0
    after = files(root / "run")
    assert {name: after[name] for name in before} == before  # nothing else was touched


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run that may be spoiled, without its report."""
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    return tmp_path / "run"
