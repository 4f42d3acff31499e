"""The parts of a report against closed forms and independent references."""

import base64
import hashlib
import io
import json
import re
import warnings

import html5lib
import numpy as np
import pytest
import torch
from jinja2 import UndefinedError
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix

from ssl_cli.report import page, results
from ssl_cli.report.figures import confusion, curves, embedding, maps, style, tiles
from ssl_cli.report.figures.inspection import nearest, sample
from ssl_cli.report.provenance import command
from ssl_cli.report.read import RunFiles, headline_key, read_run
from ssl_cli.system.html import environment
from ssl_cli.system.names import plain

HOSTILE = "<script>alert(1)</script>"


def run_files(path, summary=None, env=None, metrics=()):
    return RunFiles(path, summary or {}, {}, "", env or {}, list(metrics), [])


def row(model, probe, labels, mean, count, std=None, **more):
    settings = {"train_images": count}
    found = {"model": model, "probe": probe, "labels": labels, "split": "test", "metric": "accuracy", "mean": mean}
    return {**found, "std": std, "n": 1 if std is None else 10, "settings": settings, **more}


def test_names_are_one_printable_line():
    assert plain("cat") == "cat" and plain("naïve 猫 $x^2$") == "naïve 猫 $x^2$"
    assert plain("a\nb\x00c\udcff") == "a�b�c?" and plain("x\u202ey") == "xy"
    assert plain("a" * 99, 10) == "a" * 9 + "…"


def document(body="", title="t", points=None, **values):
    """A page whose body is ``body``, a template that may use every part; returned as text and as a strict tree."""
    names = "bullets, code, facts, figures, fold, missing, section, table"
    head = '{% extends "report/templates/page.html" %}{% from "report/templates/parts.html" import ' + names + " %}"
    template = environment().from_string(f"{head}{{% block content %}}{body}{{% endblock %}}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "render", lambda name, **given: template.render(given))
        text = page.render_page("any", title, points, **values)
    return text, html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def test_text_from_data_is_never_markup():
    assert environment().from_string("{{ a }}").render(a=HOSTILE + "\"'") == (
        "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;"
    )
    cell = page.Cell(HOSTILE, [HOSTILE], link=HOSTILE)
    body = """
    {% call section(x) %}{{ bullets([x]) }}{{ missing([x]) }}{{ code(x) }}{% endcall %}
    {{ facts([(x, x), ("empty", none)]) }}{{ table(content) }}
    {% call fold(x) %}{{ figures([drawing, none]) }}{% endcall %}
    """
    content = page.Table(HOSTILE, ["", HOSTILE], [(HOSTILE, [cell])])
    drawing = style.Drawing("a", HOSTILE, HOSTILE, "")
    text, tree = document(body, HOSTILE, {"images": [HOSTILE]}, x=HOSTILE, content=content, drawing=drawing)
    assert len(tree.findall(".//script")) == 2 and "empty" not in text
    island = tree.find(".//script[@id='points']").text
    assert json.loads(island) == {"images": [HOSTILE]} and "<" not in island
    assert text.count(HOSTILE) == 0
    where = {element.tag for element in tree.iter() if element.text == HOSTILE and element.tag != "script"}
    assert where == {*("h2", "li", "p", "code", "dt", "dd", "th", "a", "small", "summary", "h3", "figcaption")}
    assert tree.find(".//a").get("href") == HOSTILE and tree.find(".//title").text == f"{HOSTILE} · ssl"


def test_text_in_html_is_printable_and_code_keeps_its_lines():
    text, tree = document("<p>{{ x }}</p>{{ code(x) }}", x="a\x00\u202e\n<b>" + "y" * 20_000)
    assert tree.find(".//p").text == "a��<b>" + "y" * 9_993 + "…"
    assert tree.find(".//code").text == "a�\n<b>" + "y" * 9_996 + "…"


def test_a_name_that_a_template_is_not_given_is_an_error():
    for template in ("{{ nothing }}", "{% if nothing %}{% endif %}"):
        with pytest.raises(UndefinedError, match="nothing"):
            environment().from_string(template).render()


def test_only_its_own_script_may_run_and_nothing_may_be_fetched():
    text, _ = document(points={"images": []})
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == (f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'")
    assert "<script" not in document()[0]


def test_a_figure_is_text_in_the_page_s_ink_with_ids_of_its_own(tmp_path):
    with style.styled():
        drawn = []
        for name in ("one", "two"):
            figure, axes = style.new()
            axes.plot([0, 1], [0, 1], label=HOSTILE + " $x^{")
            axes.legend()
            drawn.append(
                style.save(figure, tmp_path, name, HOSTILE, "", points=(axes, np.array([[0.0, 0.0], [1.0, 1.0]])))
            )
    text, tree = document("{{ figures(drawn) }}", drawn=drawn)
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) >= 6 and {"one", "two"} <= set(ids)
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert used and set(used) <= set(ids)
    assert HOSTILE not in drawn[0].body and "&lt;script&gt;alert(1)&lt;/script&gt; $x^{" in drawn[0].body
    assert "currentColor" in drawn[0].body and style.INK not in drawn[0].body and "<style" not in drawn[0].body
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.png", "one.svg", "two.png", "two.svg"]
    assert style.INK in (tmp_path / "one.svg").read_text() and "#ffffff" in (tmp_path / "one.svg").read_text()
    assert Image.open(tmp_path / "one.png").size == (780, 540)
    (x0, y0), (x1, y1) = drawn[0].points  # the ends of the line, found again in the SVG
    path = re.search(
        r'<path d="M ([\d.]+) ([\d.]+) \nL ([\d.]+) ([\d.]+) \n" clip-path="[^"]*" style="[^"]*stroke: #1f77b4',
        drawn[0].body,
    )
    np.testing.assert_allclose([x0, y0, x1, y1], [float(part) for part in path.groups()], atol=0.01)


def test_principal_components_are_those_of_scikit_learn():
    x = np.random.default_rng(0).normal(size=(60, 9)) * np.arange(1, 10) + 3
    at, share = embedding.pca(x.astype(np.float32))
    reference = PCA(2).fit(x)
    np.testing.assert_allclose(np.abs(at), np.abs(reference.transform(x)), atol=1e-3)
    np.testing.assert_allclose(share, reference.explained_variance_ratio_, atol=1e-6)


def test_t_sne_keeps_apart_what_is_apart_and_is_the_same_each_time():
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(size=(15, 8)) + 20 * np.eye(8)[i] for i in (0, 3)])
    at = embedding.tsne(x)
    centres = at[:15].mean(0), at[15:].mean(0)
    nearer = np.linalg.norm(at - centres[0], axis=1) < np.linalg.norm(at - centres[1], axis=1)
    assert nearer[:15].all() and not nearer[15:].any()
    np.testing.assert_array_equal(at, embedding.tsne(x))


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_equal_features_are_drawn_at_one_place_without_a_warning(tmp_path, value):
    x = np.full((40, 12), value, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for at in (embedding.pca(x)[0], embedding.tsne(x)):
            assert np.ptp(at, axis=0).max() < 1e-6
            maps.scatter(at, np.arange(40) % 3, ("a", "b", "c"), tmp_path, "map", "Map", "")
            assert len(maps.places(at)) > 1


def test_neighbours_are_by_cosine_and_never_the_image_itself():
    keys = torch.tensor([[1.0, 0], [10, 1], [0, 1], [-1, -1]])
    found = nearest(torch.tensor([7, 9]), torch.tensor([[2.0, 0], [0, 3]]), torch.tensor([7, 8, 9, 4]), keys, 2)
    assert found.found.tolist() == [[8, 9], [8, 7]]
    assert nearest(torch.tensor([7]), keys[:1], torch.tensor([7, 8]), keys[:2], 5).found.tolist() == [[8]]
    assert len(sample(torch.arange(9), 5, 0).unique()) == 5 and len(sample(torch.arange(3), 5, 0)) == 3


def test_confusion_is_that_of_scikit_learn_over_all_draws():
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 4, 90), random.integers(0, 4, (3, 90))
    expected = confusion_matrix(np.tile(truth, 3), predicted.ravel(), labels=range(5), normalize="true")
    share = confusion.matrix(predicted, truth, 5)
    np.testing.assert_allclose(share, expected)  # a class without images is a row of zeros in both
    worst = confusion.mixed_up(np.array([[0.9, 0.1], [0.25, 0.75]]), ["cat", "dog"])
    assert worst == ["dog predicted as cat: 25 %", "cat predicted as dog: 10 %"]


def test_accuracy_over_labels_comes_from_the_rows_and_supervised_runs_stand_beside(tmp_path):
    rows = [row("pixels", "linear", "all", 0.9, 100), row("pixels", "linear", "1/class", 0.5, 10, 0.1)]
    rows += [row("simclr", "linear", "1/class", 0.7, 10, 0.05), row("simclr", "knn", "all", 0.8, 100)]
    own = run_files(tmp_path / "a", {"results": rows})
    one, two = (
        run_files(
            tmp_path / name,
            {
                "results": [
                    row("supervised", "classifier", "1/class", mean, 10),
                    row("supervised", "linear", "1/class", 0.1, 10),
                ]
            },
        )
        for name, mean in (("b", 0.2), ("c", 0.4))
    )
    lines = results.efficiency_lines([own, one, two], own=own)
    assert lines["raw pixels"] == [(10, 0.5, 0.1), (100, 0.9, None)]
    assert lines["linear probe on simclr"] == [(10, 0.7, 0.05)]
    ((count, mean, std),) = lines["supervised, trained with these labels"]
    assert (count, round(mean, 6), round(std, 6)) == (10, 0.3, round(0.02**0.5, 6)) and len(lines) == 3


def test_supervised_runs_near_are_those_on_the_same_splits(tmp_path):
    for name, method, splits, state in (
        ("own", "simclr", "a", "finished"),
        ("good", "supervised", "a", "finished"),
        ("other", "supervised", "b", "finished"),
        ("stopped", "supervised", "a", "interrupted"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps({"method": method, "splits": splits, "state": state}))
    assert [path.name for path in results.references(read_run(tmp_path / "own"))] == ["good"]


def test_a_table_keeps_protocols_apart_and_shows_intervals():
    parts = environment().get_template("report/templates/parts.html").module
    rows = [
        row("simclr", "linear", "all", 0.95, 9, protocol="p", ci=[0.93, 0.97]),
        row("pixels", "linear", "all", 0.9, 9, protocol="p"),
        row("pixels", "linear", "all", 0.99, 9, protocol="q"),
    ]
    text = str(parts.table(results.table(rows, results.caption(rows))))
    lines = re.findall(r"<tr>(.*?)</tr>", text)
    assert len(lines) == 3 and re.findall(r"<th[^>]*>([^<]*)", lines[0]) == ["", "raw pixels", "simclr"]
    assert "<td>90.0</td><td><b>95.0</b><small>[93.0, 97.0]</small></td>" in lines[1]
    assert "<td>99.0</td><td></td>" in lines[2] and "95 % bootstrap" in text
    errors = [
        {**row(model, "ridge", "all", mean, 9), "metric": "mae"} for model, mean in (("pixels", 2.0), ("mine", 1.5))
    ]
    assert "<td>2.000</td><td><b>1.500</b></td>" in parts.table(results.table(errors, ""))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("ssl train method=simclr hydra.run.dir=out seed=1", "ssl train method=simclr seed=1"),
        ("ssl train -m method=a,b --config-dir mine", "ssl train --config-dir mine method=a 'x=[1, 2]'"),
        ("ssl train 'unfinished", ""),
    ],
)
def test_a_run_is_repeated_by_one_command(tmp_path, typed, expected):
    assert command(run_files(tmp_path, {"overrides": ["method=a", "x=[1, 2]"]}, {"command": typed})) == expected


def test_headline_predictions_are_of_the_trained_model():
    rows = [row("pixels", "linear", "all", 1, 9), row("mine", "knn", "all", 1, 9), row("mine", "linear", "all", 0, 9)]
    arrays = dict.fromkeys(("pixels/linear/all", "mine/knn/all"), np.zeros((1, 3)))
    assert headline_key(rows, arrays) == "mine/knn/all" and headline_key(rows, {}) is None


def test_curves_leave_out_what_is_not_there(tmp_path):
    with style.styled():
        for draw in (
            curves.loss,
            curves.validation,
            curves.learning_rate,
            curves.collapse,
            curves.pseudo_labels,
            curves.terms,
        ):
            assert draw(run_files(tmp_path), tmp_path) is None
        assert curves.efficiency({"a": [(1, 0.5, None)]}, tmp_path, "") is None
        metrics = [{"epoch": 1.0, "pseudo_passed": 0.5}, {"epoch": 2.0, "pseudo_passed": float("nan"), "kl": 3.0}]
        run = run_files(tmp_path, metrics=metrics)
        assert run.series("pseudo_passed") == ([1.0], [0.5]) and run.series("loss") == ([], [])
        assert "sure enough" in curves.pseudo_labels(run, tmp_path).body and ">kl<" in curves.terms(run, tmp_path).body


def test_thumbnails_stand_in_rows():
    images = [np.full((3, 4, 4), value, np.uint8) for value in range(0, 210, 7)]
    uri, columns = tiles.sprite(images, 16)
    picture = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert columns == 25 and picture.size == (400, 32) and uri.startswith("data:image/jpeg")
    for i in (0, 7, 26, 29):
        assert abs(picture.getpixel((i % 25 * 16 + 8, i // 25 * 16 + 8))[0] - 7 * i) < 6
    assert tiles.sprite([np.zeros((1, 8, 8), np.uint8)], 16)[0].startswith("data:image/png")
    assert tiles.pixels(torch.tensor([[[0.0, 1.5], [float("nan"), 0.5]]]))[..., 2].tolist() == [[0, 255], [0, 128]]


def test_images_in_a_map_lie_close_to_their_points_and_never_on_each_other():
    random = np.random.default_rng(0)
    at = np.concatenate([random.normal(size=(100, 2)) * 0.01, [[-5.0, -5.0], [5.0, 5.0]]])
    found = maps.places(at)
    assert len(set(found.values())) == len(found) and found[100] == (0, 0) and found[101] == (21, 21)
    assert 12 <= len(found) - 2 < 30  # as many as lie within 2.5 cells of the middle
    assert all(np.hypot(x - 10.5, y - 10.5) < 2.6 for i, (x, y) in found.items() if i < 100)
    many = maps.places(random.uniform(size=(900, 2)))
    assert len(many) == maps.THUMBNAILS
