"""`ssl compare` on runs that are written, so that what it must say is known: lines, columns, differences."""

import json

import pytest
from scipy import stats
from written_runs import CONFIG, KNN, lines_of, put

from ssl_cli.compare.comparison import compare
from ssl_cli.compare.formats.markdown import to_markdown
from ssl_cli.compare.options import Options
from ssl_cli.compare.sweep import show_sweep
from ssl_cli.errors import UserError


def test_runs_that_differ_in_the_seed_are_one_line_and_the_baselines_stand_first(sweep):
    c = compare([sweep])
    assert [line.name for line in c.lines] == ["raw pixels", "convnet, random weights", "byol", "simclr"]
    assert c.against == "raw pixels" and c.columns == [KNN] and c.dataset == "digits"
    byol = lines_of(c)["byol"]
    score = byol.scores[KNN]
    assert score.mean == pytest.approx(0.955) and score.std == pytest.approx(0.005) and score.n == 3
    assert byol.seconds == 11 and byol.images_seen == 1000 and len(byol.runs) == 3
    assert lines_of(c)["raw pixels"].scores[KNN].n == 1  # the same in every run
    assert lines_of(c)["convnet, random weights"].scores[KNN].n == 3
    assert lines_of(c)["raw pixels"].scores[KNN].difference is None


@pytest.mark.parametrize("zero", [False, True])
def test_random_weights_of_runs_before_and_after_a_setting_of_training_are_one_line(tmp_path, zero):
    """But for residual branches at zero: older versions drew the baseline so, too."""
    backbone = {"_target_": "ssl_cli.backbones.resnet.ResNet", "arch": "resnet18", "zero_init_residual": zero}
    put(tmp_path / "old", seed=0, config={"backbone": backbone})
    put(tmp_path / "new", seed=1, config={"backbone": {**backbone, "norm_momentum": 0.1, "split_norms": 1}})
    names = [line.name for line in compare([tmp_path]).lines]
    assert names[-1] == "simclr" and len(names) == (4 if zero else 3), names


def test_raw_inputs_of_another_size_are_a_line_of_their_own(tmp_path):
    for name, size in (("a", None), ("b", 64)):
        put(tmp_path / name, "simclr", config={"pretext": {"size": size}})
    lines = lines_of(compare([tmp_path / "a", tmp_path / "b"]))
    assert list(lines)[:2] == ["raw pixels", "raw pixels, size=64"]
    assert lines["raw pixels"].scores[KNN].n == lines["raw pixels, size=64"].scores[KNN].n == 1


def test_a_known_difference_is_seen_and_a_small_one_is_within_noise(sweep):
    c = compare([sweep])
    byol, simclr = (lines_of(c)[name].scores[KNN] for name in ("byol", "simclr"))
    assert byol.difference == pytest.approx(0.155) and byol.within_noise is False
    assert simclr.difference == pytest.approx(0.01) and simclr.within_noise is True
    assert byol.kinds == simclr.kinds == ("runs", "images")
    over_runs = stats.ttest_1samp([0.15, 0.155, 0.16], 0).confidence_interval(0.95)
    assert byol.interval[0] <= over_runs.low and byol.interval[1] >= over_runs.high


def test_without_predictions_the_interval_is_that_of_scipy_paired_by_seed(tmp_path):
    a, b = [0.9, 0.93, 0.95], [0.85, 0.9, 0.91]
    for seed in range(3):
        put(tmp_path / f"s/{seed}", "byol", seed, a[seed], predictions=False)
        put(tmp_path / f"s/1{seed}", "simclr", seed, b[seed], predictions=False)
    score = lines_of(compare([tmp_path / "s"], Options(against="simclr", level=0.9)))["byol"].scores[KNN]
    paired = stats.ttest_rel(a, b).confidence_interval(0.9)
    assert score.kinds == ("runs",) and score.interval == pytest.approx((paired.low, paired.high))
    put(tmp_path / "s/3", "byol", 3, 0.9, predictions=False)
    c = compare([tmp_path / "s"], Options(against="simclr"))
    welch = stats.ttest_ind([*a, 0.9], b, equal_var=False).confidence_interval(0.95)
    assert lines_of(c)["byol"].scores[KNN].interval == pytest.approx((welch.low, welch.high))
    assert "not all lines are of the same seeds: simclr of 0 1 2; byol of 0 1 2 3" in c.notices


def test_equal_models_are_within_noise_and_single_runs_get_the_bootstrap(tmp_path):
    put(tmp_path / "a", "byol", 0, 0.9)
    put(tmp_path / "b", "simclr", 0, 0.9)
    score = lines_of(compare([tmp_path / "a", tmp_path / "b"], Options(against="byol")))["simclr"].scores[KNN]
    assert score.difference == 0 and score.within_noise and score.kinds == ("images",)
    one = compare([tmp_path / "a"])
    assert lines_of(one)["byol"].scores[KNN].within_noise is False
    (tmp_path / "b/predictions.npz").write_bytes(b"torn")
    score = lines_of(compare([tmp_path / "a", tmp_path / "b"], Options(against="byol")))["simclr"].scores[KNN]
    assert score.interval is None and score.within_noise is None


def test_few_labels_add_the_noise_of_their_draws(tmp_path):
    columns = (("linear", "10/class"), ("linear", "all"))
    put(tmp_path / "a", "byol", 0, 0.9, (*columns, ("retrieval", "none"), ("linear", "5%")))
    c = compare([tmp_path / "a"])
    assert [at[1] for at in c.columns] == ["all", "5%", "10/class", "none"]
    byol = lines_of(c)["byol"].scores
    assert byol["linear", "10/class", None, "accuracy"].kinds == ("draws", "images")
    assert byol["linear", "all", None, "accuracy"].kinds == ("images",)
    only = compare([tmp_path / "a"], Options(probes=["linear"], labels=["10/class"]))
    assert [at[1] for at in only.columns] == ["10/class"]


def test_settings_that_differ_are_in_the_name_and_housekeeping_is_not(tmp_path):
    for seed in range(2):
        for i, temperature in enumerate((0.1, 0.5)):
            method = {**CONFIG["method"], "temperature": temperature}
            typed = [f"seed={seed}", f"method.temperature={temperature}", "trainer.threads=1"]
            trainer = {"epochs": 60, "threads": i}
            config = {"method": method, "trainer": trainer}
            put(tmp_path / f"s/{seed}{i}", seed=seed, config=config, overrides=typed)
    c = compare([tmp_path / "s"])
    assert [line.name for line in c.lines[2:]] == ["simclr, temperature=0.1", "simclr, temperature=0.5"]
    by = compare([tmp_path / "s"], Options(by=["temperature"]))
    assert [line.name for line in by.lines[2:]] == ["temperature=0.1", "temperature=0.5"]
    assert [line.scores[KNN].n for line in by.lines[2:]] == [2, 2]
    with pytest.raises(UserError, match=r"differ in method.temperature, not only in seed.*--by method,method.temp"):
        compare([tmp_path / "s"], Options(by=["method"]))
    pooled = compare([tmp_path / "s"], Options(by=["method"], over=["seed", "temperature"]))
    assert lines_of(pooled)["simclr"].scores[KNN].n == 4
    everything = compare([tmp_path / "s"], Options(by=["labels"], over=["seed", "temperature"]))
    assert [line.name for line in everything.lines[2:]] == ["labels=all"]
    with pytest.raises(UserError, match="no setting 'temperatur'; did you mean"):
        compare([tmp_path / "s"], Options(by=["temperatur"]))


def test_label_budgets_are_columns_and_the_draw_may_differ_from_seed_to_seed_only(tmp_path):
    for seed in range(2):
        for labels in ("4/class", "1/class"):
            dataset = {**CONFIG["dataset"], "labels": labels, "label_seed": seed}
            drawn = {"label_seeds": [seed], "label_fingerprint": f"{labels}{seed}"}
            for i, method in enumerate(("fixmatch", "supervised")):
                put(
                    tmp_path / f"s/{i}-{labels[0]}-{seed}",
                    *(method, seed, 0.9, (("knn", labels),)),
                    **{"config": {"dataset": dataset}, "settings": drawn},
                )
    c = compare([tmp_path / "s"])
    assert [line.name for line in c.lines] == ["raw pixels", "convnet, random weights", "fixmatch", "supervised"]
    assert [at[1] for at in c.columns] == ["4/class", "1/class"]
    assert {score.n for score in lines_of(c)["fixmatch"].scores.values()} == {2}
    dataset = {**CONFIG["dataset"], "labels": "1/class", "label_seed": 1}
    drawn = {"label_seeds": [1], "label_fingerprint": "others"}
    put(tmp_path / "s/odd", "jem", 1, columns=(("knn", "1/class"),), config={"dataset": dataset}, settings=drawn)
    with pytest.raises(UserError, match="knn with 1/class labels was not measured alike: label_fingerprint"):
        compare([tmp_path / "s"])


def test_two_runs_alike_in_everything_are_shown_apart_by_directory(tmp_path):
    a, b = put(tmp_path / "a", score=0.9), put(tmp_path / "b", score=0.92)
    names = [line.name for line in compare([a, b]).lines[2:]]
    assert names == [f"simclr ({a})", f"simclr ({b})"]
    with pytest.raises(UserError, match="both simclr with the same seed"):
        compare([a, b], Options(by=["method"]))
    assert len(compare([a, a]).lines) == 3  # the same run twice is one


def test_the_line_that_all_are_compared_with_can_be_named(sweep):
    assert compare([sweep], Options(against="Byol")).against == "byol"
    assert compare([sweep], Options(against="random")).against == "convnet, random weights"
    none = compare([sweep], Options(against="none"))
    assert none.against is None and all(s.difference is None for line in none.lines for s in line.scores.values())
    with pytest.raises(UserError, match="--against byl is none of the lines; did you mean 'byol'"):
        compare([sweep], Options(against="byl"))
    with pytest.raises(UserError, match="--against l can be raw pixels, byol, simclr"):
        compare([sweep], Options(against="l"))


def test_other_metrics_and_the_best_first(sweep):
    put(sweep / "a", "vicreg", 0, 0.99)
    assert [line.name for line in compare([sweep], Options(sort=True)).lines[2:]] == ["vicreg", "byol", "simclr"]
    c = compare([sweep], Options(metric="ece"))
    assert c.columns == [("knn", "all", None, "ece")] and "10.0" in to_markdown(c)
    with pytest.raises(UserError, match="no metric 'acuracy'|has the metric 'acuracy'; did you mean 'accuracy'"):
        compare([sweep], Options(metric="acuracy"))


def test_probes_are_compared_with_the_cost_of_their_runs(tmp_path):
    run = put(tmp_path / "run", "byol", 1, 0.9)
    content = json.loads((run / "summary.json").read_text())
    for name, checkpoint in (("last", "last.pt"), ("best", "best.pt")):
        probe = run / f"probes/{name}"
        probe.mkdir(parents=True)
        rows = [{**row, "settings": {"k": 7}, "protocol": "p"} for row in content["results"]]
        keep = {key: content[key] for key in ("method", "dataset", "splits")}
        result = {**keep, "checkpoint": str(run / "checkpoints" / checkpoint), "results": rows}
        (probe / "result.json").write_text(json.dumps(result))
    c = compare([run / "probes"])
    names = [line.name for line in c.lines]
    assert len(names) == 4 and any("best.pt" in name for name in names)
    assert {line.seconds for line in c.lines[2:]} == {11.0}
    assert len(compare([run]).lines) == 3  # a run stands for itself: its probes are asked for by name
    with pytest.raises(UserError, match="k is 7"):
        compare([run / "probes", run])


def test_the_end_of_a_sweep_is_the_comparison_or_says_why_not(sweep, capsys):
    show_sweep(sweep)
    out = capsys.readouterr().out
    assert "byol" in out and "(6 of 6 jobs finished)" in out and f"ssl compare {sweep}" in out.replace("\n", "")
    put(sweep / "9", "byol", 0, dataset="shapes", splits="t")
    show_sweep(sweep)
    out = capsys.readouterr().out
    assert "not in one table" in out and "shapes" in out and "(7 of 7 jobs finished)" in out
    show_sweep(sweep / "nothing")
    assert capsys.readouterr().out == ""
