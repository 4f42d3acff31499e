import io
import subprocess
import sys

from rich.console import Console

from ssl_cli.compare.table import print_table, results_table


def row(model, labels, mean, std=None, probe="linear"):
    return {"model": model, "probe": probe, "labels": labels, "mean": mean, "std": std, "metric": "accuracy"}


ROWS = [
    row(model, labels, mean + gain, std, probe)
    for model, gain in (("pixels", 0.0), ("random", -0.1), ("simclr", 0.05))
    for probe, labels, mean, std in (
        ("knn", "all", 0.9, None),
        ("linear", "all", 0.91234, None),
        ("linear", "10/class", 0.8, 0.021),
        ("linear", "1/class", 0.701, 0.042),
    )
]


def render(rows, **options):
    stream = io.StringIO()
    print_table(rows, Console(file=stream, **options), backbone="convnet")
    return stream.getvalue()


def test_plain_text_fits_80_columns_and_shows_every_cell():
    text = render(ROWS, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text and "…" not in text
    for part in ("raw pixels", "convnet, random weights", "simclr", "91.2", "70.1 ± 4.2", "80.0 ± 2.1"):
        assert part in text


def test_headers():
    rows = [row("simclr", labels, 0.5) for labels in ("all", "10/class", "1/class", "10%")]
    table = results_table([row("random", "all", 0.5, probe="knn"), *rows])
    assert [" ".join(column.header.split()) for column in table.columns[1:]] == [
        "kNN",
        "linear, all labels",
        "linear, 10 labels per class",
        "linear, 1 label per class",
        "linear, 10% of labels",
    ]


def test_the_best_cell_of_a_column_is_bold():
    text = render([row("a", "all", 0.5), row("b", "all", 0.7)], force_terminal=True, color_system="standard", width=80)
    bold = [line for line in text.splitlines() if "\x1b[1m70.0" in line]
    assert len(bold) == 1 and "\x1b[1m50.0" not in text


def test_a_model_without_a_result_gets_an_empty_cell_and_no_rows_no_table():
    assert "50.0" in render([row("a", "all", 0.5), row("b", "10%", 0.7)], width=80)
    assert render([]) == ""


def test_the_module_is_free_of_torch():
    code = "import sys, ssl_cli.compare.table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_unlike_protocols_never_share_a_column():
    rows = [row("a", "all", 0.5, probe="knn") | {"protocol": "1" * 12, "settings": {"k": 20, "temperature": 0.07}}]
    rows += [row("b", "all", 0.7, probe="knn") | {"protocol": "2" * 12, "settings": {"k": 5, "temperature": 0.07}}]
    table = results_table(rows)
    assert [" ".join(column.header.split()) for column in table.columns[1:]] == ["kNN, k=20", "kNN, k=5"]
    assert [list(column.cells) for column in table.columns[1:]] == [
        ["[bold]50.0[/bold]", ""],
        ["", "[bold]70.0[/bold]"],
    ]


def test_other_metrics_are_named_and_not_in_percent():
    table = results_table([row("a", "all", 0.81234, probe="regression") | {"metric": "r2", "target": "x"}])
    assert table.title == "R² on the test split" and list(table.columns[1].cells) == ["[bold]0.812[/bold]"]
    assert table.columns[1].header == "regression of\nx"


def test_columns_that_the_console_has_no_room_for_come_below():
    rows = [row(model, labels, 0.5, 0.1) for model in ("pixels", "simclr") for labels in ("all", "10/class", "1/class")]
    wide, narrow = render(rows, width=120), render(rows, width=45)
    assert wide.count("raw pixels") == 1 and "…" not in narrow
    assert narrow.count("raw pixels") == narrow.count("simclr") > 1 and narrow.count("on the test split") == 1
    assert narrow.count("50.0 ± 10.0") == wide.count("50.0 ± 10.0") == 6
