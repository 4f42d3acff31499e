"""The work of ``ssl pick``: from an opened run to inputs to label, with what the run would call them."""

from collections.abc import Callable

import torch
from torch import Tensor

from ssl_cli.errors import UserError
from ssl_cli.pick.strategies import Pool, pick
from ssl_cli.pick.table import Picked
from ssl_cli.predict.predictor import Predictor
from ssl_cli.predict.source import Stored
from ssl_cli.probes.frozen.cache import FeatureCache
from ssl_cli.probes.frozen.subject import FrozenModel
from ssl_cli.runs.catalog import run_of
from ssl_cli.setup.restore import OpenedCheckpoint

PLACES = 6  # digits of a probability


def to_label(
    t: OpenedCheckpoint, pool: Pool, strategy: str, count: int, seed: int, predictor: Predictor | None
) -> tuple[Tensor, list[Picked]]:
    """Return the positions [count] and rows of the inputs to label, the most wanted first.

    Args:
        t: the model with its run's own inputs.
        pool: what they are picked from.
        strategy: see `ssl_cli.pick.strategies.pick`.
        count: of inputs.
        seed: of all that is random.
        predictor: what guesses their classes; None: nothing does.

    Raises:
        UserError: there are not so many, or nothing that could be uncertain.
    """
    if strategy == "uncertain" and predictor is None:
        raise UserError(
            f"strategy=uncertain needs a classifier, and the run has no labels of {t.data.name} to fit one on; "
            "write strategy=typical"
        )
    run = run_of(t.file)
    cache = FeatureCache(run / "features") if run else None
    network = FrozenModel(t.method.measured, t.data.inputs, t.info, t.device, cache)

    def features(at: Tensor) -> Tensor:  # in the order of the data set: whatever the seed, they are in the cache
        place = at.argsort()
        found = network(at[place])
        return torch.empty_like(found).index_copy(0, place, found)

    def margins(at: Tensor) -> Tensor:
        answers = predictor.answers(features(at))
        return answers.probability - answers.second_probability

    chosen = pick(strategy, pool, count, seed, max(len(t.data.classes), len(t.info.classes)), features, margins)
    return chosen, _rows(t, chosen, predictor, features)


def _rows(
    t: OpenedCheckpoint, at: Tensor, predictor: Predictor | None, features: Callable[[Tensor], Tensor]
) -> list[Picked]:
    names = Stored(t.data, "train", t.node.get("root"))
    paths = [names.path(i) for i in at.tolist()]
    if predictor is None:
        return [Picked(path) for path in paths]
    answers = predictor.answers(features(at))
    guesses = zip(paths, answers.classes.tolist(), answers.probability.tolist(), strict=True)
    return [Picked(path, predictor.classes[c], round(p, PLACES)) for path, c, p in guesses]
