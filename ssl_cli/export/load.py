"""``ssl_cli.load(RUN)``: a trained model in Python."""

import os
from collections.abc import Sequence

from ssl_cli.data.kinds import check_image
from ssl_cli.export.head import own_head
from ssl_cli.export.model import Model
from ssl_cli.runs.catalog import checkpoint_file
from ssl_cli.setup.restore import Rebuilt, rebuild


def load(run: str | os.PathLike, trusted_modules: Sequence[str] = ()) -> Model:
    """Return the frozen model of a run, with its transform.

    ::

        model = ssl_cli.load("last")
        features = model(model.transform("cat.jpg")[None])  # [1, model.dim]

    Args:
        run: a run directory, a checkpoint file, ``last`` (the latest run below ``outputs/``) or ``best``.
        trusted_modules: modules outside ssl_cli that the checkpoint's config may name.

    Raises:
        UserError: there is no such run, its checkpoint is damaged, or it names foreign code.
    """
    return model_of(rebuild(checkpoint_file(os.fspath(run), "run"), trusted_modules))


def model_of(rebuilt: Rebuilt) -> Model:
    """Return a rebuilt model as it is used, with the method's own classifier."""
    check_image(rebuilt.info, "ssl_cli.load")
    reading = rebuilt.config.dataset.get("reading", 1)  # as the run's images were
    return Model(rebuilt.method.measured, rebuilt.info, own_head(rebuilt.method), reading)
