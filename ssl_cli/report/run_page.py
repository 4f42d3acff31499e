"""The report of one run: what there is, and a line for what is missing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_cli.compare.table import about_copies, without_copies
from ssl_cli.compare.verdict import verdict
from ssl_cli.config.chosen import dataset_settings, moved_root
from ssl_cli.config.kinds import kind_of
from ssl_cli.config.words import command
from ssl_cli.errors import RunError, UserError
from ssl_cli.report import predicted, results
from ssl_cli.report.figures import confusion, curves, style
from ssl_cli.report.figures.style import Drawing
from ssl_cli.report.figures.tiles import data_uri
from ssl_cli.report.page import Table, render_page
from ssl_cli.report.provenance import origin
from ssl_cli.report.read import REFERENCE, RunFiles, headline_key, predictions, read_run, started
from ssl_cli.system.names import plain
from ssl_cli.system.terminal import clock

LARGEST = 1_500_000  # bytes of a picture that goes into the page as it is
PICTURES = {  # what the columns of a picture in plots/ are
    "reconstruction": "For each image: the input, the reconstruction, and the whole image.",
    "inpainting": "For each image: the input, what the method put into the hole, and what was there.",
    "colorization": "For each image: the lightness (the input), the predicted colours, and the true ones.",
    "samples": "Images of low energy, drawn by the method's own sampler; none of them is real.",
}


@dataclass
class Learned:
    """What the model and its data show; empty where one of them is missing."""

    features: list[Drawing | None] = field(default_factory=list)
    views: Drawing | None = None
    classes: tuple[str, ...] = ()
    points: dict[str, Any] | None = None  # what page.js reads
    thumbnails: str = ""  # data URI
    notes: list[str] = field(default_factory=list)  # what is missing, and why
    picked: list[Any] = field(default_factory=list)  # inputs to label, `Shown`
    picked_notes: list[str] = field(default_factory=list)
    audited: list[Any] = field(default_factory=list)  # what is wrong with the data, `Part`
    audited_notes: list[str] = field(default_factory=list)


def run_page(path: Path, directory: Path, tell: Callable[[str], None], root: str | None, trusted: list[str]) -> str:
    """Draw a run's figures into ``directory`` and return its page.

    Args:
        path: the run.
        directory: of the figures' files; exists.
        tell: is given a line for each thing that takes a while.
        root: where the inputs are now, if they have moved.
        trusted: modules outside ssl_cli that the checkpoint's config may name.
    """
    run = read_run(path)
    tell("curves")
    with style.styled():
        drawn = {d: getattr(curves, d)(run, directory) for d in ("loss", "validation", "learning_rate", "collapse")}
        more = [curves.pseudo_labels(run, directory), curves.terms(run, directory)]
        efficiency, unlabelled = _efficiency(run, directory)
        learned = _learned(run, directory, tell, root, trusted)
        mixed, unpredicted = _confusion(run, directory, learned.classes)
    pictures, large = _pictures(run)
    return render_page(
        "run.html",
        f"{run.method} on {run.dataset}",
        learned.points,
        learned.thumbnails,
        state=run.state,
        started=started(run),
        pairs=_facts(run),
        state_notes=_state_notes(run),
        results=_results(run),
        efficiency=efficiency,
        confusion=mixed,
        score_notes=unpredicted + unlabelled,
        learned=learned,
        predicted=predicted.of_run(path),
        pictures=pictures,
        large_pictures=large,
        curves=[*drawn.values(), *more],
        curve_notes=_no_curves(run, drawn),
        origin=origin(run),
    )


def _facts(run: RunFiles) -> list[tuple[str, Any]]:
    s, trainer = run.summary, run.config.get("trainer") or {}
    epochs, planned = s.get("epochs"), None if trainer.get("max_steps") else trainer.get("epochs")
    return [
        ("label budget", s.get("labels")),
        ("epochs", epochs and (f"{epochs:g} of {planned}" if planned else f"{epochs:g}")),
        ("batch size", trainer.get("batch_size")),
        (f"{noun_of(run)}s seen", s.get("images_seen") and f"{s['images_seen']:,}"),
        ("training time", s.get("seconds") and clock(s["seconds"])),
        (f"{noun_of(run)}s per second", s.get("images_per_second") and f"{s['images_per_second']:,.0f}"),
        ("best kNN on val", s.get("best_val_knn") and f"{100 * s['best_val_knn']:.1f} %"),
        ("seed", s.get("seed")),
        ("device", run.env.get("device")),
    ]


def noun_of(run: RunFiles) -> str:
    """Return what an input of a run is called."""
    return kind_of(run.config.get("dataset") or {})


def _state_notes(run: RunFiles) -> list[str]:
    """Return what the reader must know of a run that did not simply finish."""
    resume = command("ssl", "train", resume=run.path)
    notes = {
        "interrupted": f"The run was stopped before its end. To resume it: {resume}",
        "killed": f"The run was killed before its end. To resume it: {resume}",
        "running": "The run is still running. This page shows it up to now.",
        "failed": f"The run has failed: {run.summary.get('error', 'for an unknown reason')}",
        "collapsed": f"The embedding has collapsed: different {noun_of(run)}s look alike to the method.",
        "unreadable": "summary.json is missing or cannot be read, so state and results are unknown.",
    }
    return [notes[run.state]] if run.state in notes else []


@dataclass
class Results:
    """Every number of a run."""

    own: Table | None  # of the run's closing measurement
    verdict: str  # whether training was worth it; "" where it began at random
    second: Table | None  # the same without test inputs that are in train, if there are any
    notes: list[str]  # what is missing there, and why
    probes: list[Table]  # of each `ssl probe`
    more: Table | None  # other metrics
    protocols: list[str]  # how each number was made


def _results(run: RunFiles) -> Results:
    rows, notes = run.results, []
    if not rows:
        unlabelled = f"there are no labelled test {noun_of(run)}s"
        why = {"finished": unlabelled, "collapsed": unlabelled, "failed": "the run has failed"}
        notes = [f"No results: {why.get(run.state, 'test is scored once, at the end')}."]
    elif not any(row.get("ci") for row in rows):
        again = command("ssl", "probe", ckpt=run.path, probe="linear")
        notes = [f"No intervals: an older ssl measured this run. To measure it again: {again}"]
    own = results.table(rows, results.caption(rows)) if rows else None
    copies = without_copies(rows)
    second = results.table(copies, f"The same {about_copies(copies, noun_of(run))}") if copies else None
    probed = [(name, result, result["results"]) for name, result in run.probes if result.get("results")]
    probes = [
        results.table(found, f"ssl probe: {name}, step {result.get('step', '?')}. {results.caption(found)}")
        for name, result, found in probed
    ]
    every = rows + [row for _, _, found in probed for row in found]
    told = verdict(run.path, rows)
    return Results(own, told, second, notes, probes, results.more_metrics(every), results.protocols(every))


def _efficiency(run: RunFiles, directory: Path) -> tuple[Drawing | None, list[str]]:
    """Return the curve over labels, with supervised runs that are found near, and what is missing in it."""
    near = [] if run.method == REFERENCE or not run.results else results.references(run)
    lines = results.efficiency_lines([run, *map(read_run, near)], own=run)
    caption = "Linear probes on frozen features; bars are the deviation over draws of the labels, or over runs."
    if near:
        shown = ", ".join(path.name for path in near[:4]) + (f" and {len(near) - 4} more" if len(near) > 4 else "")
        caption += f" Supervised: {shown}."
    drawing = curves.efficiency(lines, directory, caption)
    if drawing is None:
        why = "it needs a linear probe with several label budgets"
        return None, [f"No curve over the number of labels: {why}."] if run.results else []
    if near or run.method == REFERENCE:
        return drawing, []
    note = "No supervised run on this data is nearby, so none is drawn beside this one. To add one: "
    return drawing, [note + supervised_command(run)]


def supervised_command(run: RunFiles) -> str:
    """Return what to type for the supervised runs that this one is held against."""
    data = dataset_settings(moved_root(run.config.get("dataset"), run.env), run.dataset)
    return command("ssl", "train", "-m", "method=supervised", "dataset.labels=1/class,10/class,all", **data)


def _learned(
    run: RunFiles, directory: Path, tell: Callable[[str], None], root: str | None, trusted: list[str]
) -> Learned:
    from ssl_cli.report import audit_page, pick_page
    from ssl_cli.report.figures import learned, texts
    from ssl_cli.report.figures.inspection import inspect_run

    try:
        seen = inspect_run(run.path, root, trusted, tell)
    except (UserError, RunError) as error:
        why = [f"No features, neighbours or views: {error}"]
        return Learned(notes=why, audited_notes=audit_page.of_run(run, None)[1])
    maps, notes = learned.feature_maps(seen, directory, tell)
    points, thumbnails = learned.page_points(seen, maps)
    if hasattr(seen.data, "texts"):
        found, views = [texts.neighbours(seen), texts.class_words(seen)], texts.views(seen)
    else:
        found, views = [learned.neighbours(seen, directory)], learned.views(seen, directory)
    picked = pick_page.of_run(run, seen)
    notes += [] if views else [f"No neighbours and no views: {seen.data.noun}s are no pictures; see `ssl views`."]
    audited = audit_page.of_run(run, seen)
    return Learned([*maps, *found], views, seen.data.classes, points, thumbnails, notes, *picked, *audited)


def _confusion(run: RunFiles, directory: Path, classes: tuple[str, ...]) -> tuple[Drawing | None, list[str]]:
    """Return the confusion matrix; where there is none, why."""
    arrays = predictions(run.path / "predictions.npz")
    key = headline_key(run.results, arrays)
    if key is None:
        why = "No confusion matrix: there is no predictions.npz (an older ssl did not write it)."
        return None, [why] if run.results else []
    truth, predicted = arrays["labels"], arrays[key]
    known = int(max(truth.max(), predicted.max())) + 1
    names = classes if len(classes) >= known else tuple(map(str, range(known)))
    share = confusion.matrix(predicted, truth, len(names))
    worst = confusion.mixed_up(share, names)
    noun = noun_of(run)
    caption = (
        f"A row shows what the test {noun}s of one class are predicted as, in %; {len(truth):,} {noun}s, by {key}. "
    )
    caption += f"Most frequent errors: {'; '.join(worst)}." if worst else "There are no errors."
    return confusion.draw(share, names, directory, caption), []


def _no_curves(run: RunFiles, drawn: dict[str, Drawing | None]) -> list[str]:
    if not run.metrics:
        return ["No curves: metrics.jsonl is missing or empty."]
    lines = []
    if not drawn["validation"]:
        lines.append("No accuracy on val: there was no evaluation yet, or there are no labels.")
    if not drawn["collapse"]:
        lines.append("No diagnostics of collapse: there was no evaluation yet.")
    return lines


def _pictures(run: RunFiles) -> tuple[list[Drawing], list[str]]:
    """Return the pictures that training has written into ``plots/``, and which of them are too large."""
    from markupsafe import Markup

    shown, large = [], []
    for number, file in enumerate(sorted((run.path / "plots").glob("*.png")), 1):
        name = plain(file.stem)
        if file.stat().st_size > LARGEST:
            large.append(f"{name} is too large for this page; it is in {file.parent}.")
            continue
        image = Markup('<img src="{}" alt="{}">').format(Markup(data_uri(file.read_bytes(), "png")), name)
        caption = f"{PICTURES.get(file.stem, 'As the method draws it.')} At the latest evaluation."
        shown.append(Drawing(f"plot-{number}", name.capitalize(), caption, image))
    return shown, large
