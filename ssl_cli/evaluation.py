"""The evaluation between epochs: numbers go to the metrics, pictures to ``plots/``, and a collapse is said."""

from typing import Any

from ssl_cli.probes.monitor import monitor_collapse, monitor_knn, monitor_pictures, monitor_pseudo_labels
from ssl_cli.report.pictures import save_grid
from ssl_cli.rundir import RunDir
from ssl_cli.setup import Experiment

COLLAPSE = (
    "the embedding has collapsed at step {step} (deviation {embedding_std:.2f}, healthy about 1; effective "
    "rank {embedding_rank:.1f}): different images look alike to the method, and the representation will be poor"
)


def evaluate(e: Experiment, run: RunDir, done: Any, finished: bool) -> tuple[float | None, str | None]:
    """Look at the method as it is, on images of val.

    Args:
        e: the experiment.
        run: where metrics and pictures go.
        done: the `Progressed` of training; is told of a collapse.
        finished: whether this is the end of training.

    Returns:
        The kNN accuracy in [0, 1] (None without labels), and a warning, if there is one.
    """
    knn = monitor_knn(e.method, e.data, e.labelled, e.info, e.device)
    report = monitor_collapse(e.method, e.data, e.pretext.augment, e.info, e.device)
    report |= monitor_pseudo_labels(e.method, e.data, e.labelled, e.info, e.device)
    run.log_metrics({"step": done.step, "epoch": round(done.step / e.steps_per_epoch, 4), "val_knn": knn, **report})
    for name, images in monitor_pictures(e.method, e.data, e.pretext, e.device).items():
        save_grid(run.path / "plots" / f"{name}.png", images)
    was_collapsed, done.collapsed = done.collapsed, report.get("collapsed", False)
    # Once can be the first steps of a healthy run; twice in a row, or at the end, is not.
    if not done.collapsed or done.warned or not (was_collapsed or finished):
        return knn, None
    done.warned = True
    return knn, COLLAPSE.format(step=done.step, **report)
