"""The table of all methods at one budget: which rows there are, what is typed for them, what is trained again."""

import json
import shutil
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from experiments import composed
from filelock import FileLock
from torchvision.transforms.functional import pil_to_tensor
from written_runs import put

from benchmarks import quality, quality_peer, results, results_page, results_peers, results_picture
from benchmarks.results_rows import COMMON, ROWS
from ssl_cli.config.check import check
from ssl_cli.config.paths import conf_dir
from ssl_cli.setup.prepare import prepare
from ssl_cli.setup.restore import rebuild

# Energies sample images for most of a step; what is there: nothing is trained by `frozen` elsewhere than in its row.
NO_ROW = {"ebm", "jem"}
OPTIONS = Namespace(data="photos", dataset="cifar10", minutes=2.0, seeds=1, methods=list(ROWS), hours=None)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Nothing is trained: `called` collects what would be, and leaves a finished run."""
    monkeypatch.setattr(results, "KEPT", tmp_path)
    called = []

    def call(arguments, log):
        called.append(arguments)
        return 0, 1.0

    monkeypatch.setattr(results, "call", call)
    file = results.place(OPTIONS) / "paces/simclr.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"seconds_per_step": 0.4, "steps": 300, "machine": MACHINE}))
    return called


MACHINE = {"cpu": "a processor", "cores": 2, "threads": 1, "instructions": "AVX2", "bf16": False, "gpu": None}
MACHINE |= {"python": "3.11", "torch": "2.9"}


def test_every_method_has_a_row_or_a_reason_to_have_none():
    methods = {
        setting.partition("=")[2] for row in ROWS.values() for setting in row.settings if setting[:7] == "method="
    }
    assert methods | NO_ROW == {file.stem for file in (conf_dir() / "method").glob("*.yaml")}
    assert not methods & NO_ROW


def test_a_row_that_differs_from_the_others_says_why():
    for name, row in ROWS.items():
        chosen = [s for s in row.settings if s.split("=")[0] not in ("method", "pretext", "name", "dataset.labels")]
        assert bool(row.why) == bool(chosen), name
        assert row.few == any(s.startswith("dataset.labels=") for s in row.settings), name


@pytest.mark.parametrize("name", ["mae", "cpc", "frozen", "supervised_few", "lightly_byol"])
def test_what_is_typed_is_taken_and_what_the_run_has(name):
    from benchmarks.harness import compose_run

    weights = ["backbone.weights=FILE"] if name == "frozen" else []
    settings = [s for s in [*COMMON, *ROWS[name].settings] if not s.startswith("name=")]
    config = compose_run(*settings, *results.images("cifar10", "DIR"), *weights)
    groups = [s for s in settings if s.split("=")[0] in ("experiment", "method", "backbone")]
    check(config, compose_run(*groups, "dataset=folder", "probes.propagate=null"), "train")
    assert config.trainer.batch_size == 128 and config.trainer.threads == 1 and config.probes.propagate is None
    assert config.backbone._target_.rsplit(".")[-1] == {"mae": "ViT", "frozen": "Timm"}.get(name, "ConvNet")
    assert config.dataset.labels == ("40/class" if ROWS[name].few else "all")
    assert (config.trainer.progressive is None) == (name != "supervised_few")


def test_a_row_is_trained_once_goes_on_where_it_was_cut_off_and_is_left_to_whoever_has_it(kept, monkeypatch):
    run = results.run_of("simclr", 0, OPTIONS)
    with FileLock(results.place(OPTIONS) / "simclr-0.lock"):
        assert results.main(["--data", "photos", "--minutes", "2", "--methods", "simclr"]) == 0
    assert not kept
    results.made("simclr", 0, OPTIONS, None)
    assert kept[-1][0] == "train" and {"trainer.max_steps=300", "seed=0", f"hydra.run.dir={run}"} <= set(kept[-1])
    assert f"dataset.root={Path.cwd() / 'photos'}" in kept[-1]
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    (run / "summary.json").write_text('{"state": "interrupted"}')
    assert results.made("simclr", 0, OPTIONS, None) is False  # it says that it ended well, and does not stand
    assert kept[-1] == ["train", f"resume={run}"]
    (run / "summary.json").write_text('{"state": "finished"}')
    assert results.made("simclr", 0, OPTIONS, None) is True and len(kept) == 2


def test_the_steps_are_the_minutes_by_the_pace_which_is_measured_once(kept, monkeypatch):
    rounds = {"byol": [{"seconds": seconds} for seconds in (0.5, 0.2, 0.25)]}
    monkeypatch.setattr(results, "take_turns", lambda variants, count, threads: {n: rounds.pop(n) for n in variants})
    monkeypatch.setattr(results, "machine", lambda threads: MACHINE)
    assert results.steps("byol", ROWS["byol"], OPTIONS) == 480 == results.steps("byol", ROWS["byol"], OPTIONS)


def test_the_pace_is_of_all_sizes_of_views_each_at_its_share(monkeypatch):
    from ssl_cli.training import loop

    sizes, step = [], loop.train_step

    def seen(t):
        step(t)
        sizes.append(t.e.pretext.view_size)

    monkeypatch.setattr(loop, "train_step", seen)
    small = [
        "trainer.batch_size=8",
        "backbone.widths=[4,4,4]",
        "trainer.progressive=[16 until 50%,20 until 80%]",
        "pretext.size=24",
    ]
    once = results.pace(["dataset=digits", *COMMON, "method=moco", "method.queue_size=32", *small])
    assert sizes == [16, 20, 24]
    assert once()["seconds"] > 0
    assert sizes[3:] == [16] * 5 + [20] * 3 + [24] * 2


def test_the_picture_has_the_rows_that_stand_at_two_budgets_and_what_no_training_changes(kept, tmp_path):
    columns, place = (("linear", "all"), ("linear", "40/class")), results.place(OPTIONS)
    own, cost = (("classifier", "40/class"),), {"steps": 9, "epochs": 1.0}
    for minutes, score in ((2, 0.5), (10, 0.7)):
        at = place.with_name(f"cifar10-{minutes}min")
        put(at / "all/simclr-0", "simclr", 0, score, columns, processor_seconds=60.0 * minutes, **cost)
        put(at / "few/fixmatch-0", "fixmatch", 0, score, own, processor_seconds=90.0 * minutes, **cost)
    put(place / "all/byol-0", "byol", 0, 0.6, columns, processor_seconds=120.0, **cost)
    put(place / "all/frozen-0", "frozen", 0, 0.65, columns, processor_seconds=0.0, **cost)
    put(place / "all/lightly_simclr-0", "frozen", 0, 0.4, columns)
    (place / "peers").mkdir()
    (place / "peers/lightly_simclr-0.json").write_text(
        json.dumps({**cost, "processor_seconds": 132.0, "images_seen": 9})
    )
    lines, flat = results_picture.curves(place, "all")
    assert flat == pytest.approx({"frozen": 65.0, "raw pixels": 80.0})
    assert {name: [(p.minutes, p.accuracy) for p in points] for name, points in lines.items()} == {
        "simclr": [(2.0, pytest.approx(50.0)), (10.0, pytest.approx(70.0))],
        "lightly_simclr": [(2.2, pytest.approx(40.0))],
    }
    few, _ = results_picture.curves(place, "40/class")
    assert [p.minutes for p in few["fixmatch"]] == [3.0, 15.0]
    text = results_page.render(place, Namespace(**vars(OPTIONS), out=tmp_path / "page.md"))
    assert "![Test accuracy against minutes of training](page.svg)" in text and "knows 2 and 10" in text
    told = "`lightly_simclr`, has 40.0 % after 2.2 minutes; `simclr` has 50.0 % after 2.0, 70.0 % after 10.0"
    assert told in text.replace("\n", " ")
    assert "fixmatch" in text and (tmp_path / "page.svg").stat().st_size > 1000


def test_a_peers_training_that_fails_says_why_and_leaves_no_network(image_folder, tmp_path, monkeypatch):
    def example(net):
        pixels = torch.rand(3, 16, 16)
        return net, lambda a, b, share: net(a).sum() * float("inf"), lambda image: (pixels, pixels)

    monkeypatch.setitem(results_peers.EXAMPLES, "mine", example)
    monkeypatch.setattr(results_peers, "AS_IT_IS", results_peers.Recipe(batch=4))
    (tmp_path / "data").mkdir()
    shutil.copytree(image_folder, tmp_path / "data/train")
    settings = ["method=frozen", "dataset=folder", f"dataset.root={image_folder}", "backbone.widths=[4,8]"]
    with pytest.raises(RuntimeError, match="weights that are no numbers after 1 steps"):
        results_peers.train("mine", str(tmp_path / "a.pt"), settings, str(tmp_path / "data"), 1e-9, False)
    assert "no numbers" in json.loads((tmp_path / "a.json").read_text())["failed"]
    assert not (tmp_path / "a.pt").exists()


@pytest.mark.parametrize("tuned", [False, True])
def test_a_peers_network_begins_a_run_and_its_cost_is_kept(tuned, image_folder, tmp_path, monkeypatch):
    """The example of a peer that is not installed here: two views, and a loss that any network can lower."""

    def example(net):
        def views(image):
            pixels = pil_to_tensor(image.resize((16, 16))).float() / 255
            return pixels, pixels

        return net, lambda a, b, share: (net(a) - net(b) + 1).square().mean() + net(a).square().mean(), views

    monkeypatch.setitem(results_peers.EXAMPLES, "mine", example)
    recipe = results_peers.Recipe(0.3, 0.9, cosine=True, batch=4) if tuned else results_peers.Recipe(batch=4)
    monkeypatch.setattr(results_peers, "TUNED" if tuned else "AS_IT_IS", recipe)
    (tmp_path / "data").mkdir()
    shutil.copytree(image_folder, tmp_path / "data/train")
    settings = ["method=frozen", "dataset=folder", f"dataset.root={image_folder}", "dataset.storage_size=16"]
    settings += ["backbone.widths=[4,8]", "trainer.precision=fp32", "name=theirs"]
    file = tmp_path / "theirs.pt"
    results_peers.train("mine", str(file), settings, str(tmp_path / "data"), 0.002, tuned)
    cost = json.loads(file.with_suffix(".json").read_text())
    assert cost["images_seen"] == 4 * cost["steps"] and cost["processor_seconds"] >= 0.12
    method = prepare(composed("train", [*settings, f"init={file}"])).method
    before = prepare(composed("train", settings)).method
    assert any(not torch.equal(a, b) for a, b in zip(method.parameters(), before.parameters(), strict=True))
    saved = rebuild(file).method.state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in method.state_dict().items())


def test_the_page_has_the_tables_of_compare_the_commands_and_what_they_cost(kept, tmp_path):
    place, trained = results.place(OPTIONS), {"steps": 300, "epochs": 0.85, "processor_seconds": 126.0}
    put(place / "all/simclr-0", "simclr", columns=(("linear", "10/class"),), **trained)
    put(place / "few/fixmatch-0", "fixmatch", columns=(("classifier", "40/class"),), config={"name": "b"}, **trained)
    put(place / "all/byol-0", "byol", columns=(("linear", "10/class"),), **{**trained, "state": "running"})
    (place / "peers").mkdir()
    (place / "peers/lightly_byol-0.json").write_text('{"steps": 3, "failed": "no numbers"}')
    text = results_page.render(place, Namespace(**vars(OPTIONS), out=tmp_path / "page.md"))
    assert "`lightly_byol` (no numbers), " in text
    lines = text.splitlines()
    assert "# Results: CIFAR-10 (JPEG), 2 minutes of one core without bf16" in lines
    assert "Measured on a processor, 2 cores" in text
    assert "| raw pixels | 80.0 ± 0.0 |" in text
    assert "ssl train $common method=simclr trainer.max_steps=300" in lines
    assert "ssl train $common method=fixmatch dataset.labels=40/class trainer.max_steps=300" in lines
    assert "| simclr | 300 | 1,000 | 420 | 2.10 |  |" in lines
    assert "own classifier, 40 labels per class" in text and "Not there: `byol`, `vicreg`" in text


def test_of_several_seeds_the_page_says_which_rows_have_them_and_where_each_begins(kept, tmp_path):
    place, columns = results.place(OPTIONS), (("linear", "all"),)
    cost = {"steps": 9, "epochs": 1.0, "processor_seconds": 60.0}
    (place / "peers").mkdir()
    for seed in (0, 1, 2):
        put(place / f"all/simclr-{seed}", "simclr", seed, 0.6, columns, **cost)
        put(place / f"all/lightly_simclr-{seed}", "frozen", seed, 0.5, columns)
        (place / f"peers/lightly_simclr-{seed}.json").write_text(json.dumps({**cost, "images_seen": 9}))
    put(place / "all/byol-0", "byol", 0, 0.5, columns, **cost)
    text = results_page.render(place, Namespace(**vars(OPTIONS), out=tmp_path / "page.md"))
    assert "There are 3 seeds of `simclr` and `lightly_simclr`, the others have one." in text
    assert "--minutes 2 --seeds 3 --out docs/page.md" in text
    lines = text.splitlines()
    assert "ssl train -m $common method=simclr trainer.max_steps=9 seed=0,1,2" in lines
    theirs = [line for line in lines if "peers/lightly_simclr-" in line and line.startswith("ssl train $common")]
    assert [line.split("peers/")[1] for line in theirs] == [f"lightly_simclr-{s}.pt seed={s}" for s in (0, 1, 2)]
    assert "ssl train $common method=byol trainer.max_steps=9" in lines


def test_a_peer_is_tuned_by_as_many_recipes_as_ours_and_its_row_is_one_of_them():
    recipes = [*quality_peer.RECIPES.values()]
    assert len(recipes) == len(quality.RECIPES) and all(recipes.count(recipe) == 1 for recipe in recipes)
    assert results_peers.AS_IT_IS in recipes and results_peers.TUNED in recipes


def test_a_peers_recipe_is_learned_from_the_images_that_ours_learn_from(image_folder, monkeypatch):
    seen, small = [], ["backbone.widths=[4,8]", "trainer.batch_size=8"]
    monkeypatch.setitem(quality_peer.NETWORKS, quality_peer.NETWORK, small)

    def descend(net, example, recipe, images, seed, share_done):
        seen.extend(images.dataset.samples[i][0] for i in images.indices)
        assert share_done(quality_peer.BUDGET // recipe.batch) == 1
        return 3

    monkeypatch.setattr(quality_peer, "descend", descend)
    monkeypatch.setattr(quality_peer, "accuracy", lambda e, net: 50.0)
    row = quality_peer.learned("AdamW", str(image_folder), 1)()
    assert (row["steps"], row["linear"]) == (3, 50.0)
    data = quality.prepared(image_folder, *small).data
    files = sorted(str(file) for file in image_folder.rglob("*") if file.is_file())
    assert sorted(seen) == sorted(files[i] for i in data.splits["train"]) and 0 < len(seen) < len(files)
