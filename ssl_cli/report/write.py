"""A report on disk: ``RUN/report/index.html`` and each figure as PNG and SVG beside it."""

import time
from collections.abc import Callable
from pathlib import Path

from ssl_cli.errors import UserError
from ssl_cli.system.atomic import replace

FIGURES = (
    *("loss", "terms", "validation", "learning_rate", "collapse", "pseudo_labels", "label_efficiency", "confusion"),
    *("pca", "tsne", "tsne_images", "umap", "neighbours", "views"),
)


def write_report(
    path: Path, tell: Callable[[str], None], root: str | None = None, trusted: list[str] | None = None
) -> Path:
    """Write the report of a run, or of the runs below a directory.

    The page comes last and holds its figures itself, so a reader, or an interruption, finds the old page or the new.

    Args:
        path: the run, or the directory of several.
        tell: is given a line for each thing that takes a while.
        root: where the inputs of a run are now, if they have moved.
        trusted: modules outside ssl_cli that a run's config may name.

    Returns:
        The page.

    Raises:
        UserError: nothing can be written there.
    """
    from ssl_cli.runs.catalog import is_run

    directory, began = path / "report", time.time()
    try:
        directory.mkdir(exist_ok=True)
        if is_run(path):
            from ssl_cli.report.run_page import run_page

            content = run_page(path, directory, tell, root, trusted or [])
        else:
            from ssl_cli.report.sweep_page import sweep_page

            content = sweep_page(path, directory, tell)
        replace(directory / "index.html", content.encode())
        for file in (directory / f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")):
            if file.is_file() and file.stat().st_mtime < began - 2:  # of an earlier report; some clocks are coarse
                file.unlink()
    except OSError as error:
        raise UserError(f"cannot write the report to {directory}: {error.strerror or error}") from error
    return directory / "index.html"
