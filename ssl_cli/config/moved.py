"""Names that configs of older runs hold, and where what they name lives now: such runs stay readable."""

from collections.abc import Mapping
from typing import Any

MOVED = {
    "ssl_cli.data.digits.load": "ssl_cli.data.images.digits.load",
    "ssl_cli.data.folder.load": "ssl_cli.data.images.folder.load",
    "ssl_cli.data.shapes.load": "ssl_cli.data.images.shapes.load",
    "ssl_cli.data.torchvision_sets.load": "ssl_cli.data.images.torchvision_sets.load",
    "ssl_cli.optim.adamw": "ssl_cli.optim.optimizers.adamw",
    "ssl_cli.optim.lars": "ssl_cli.optim.optimizers.lars",
    "ssl_cli.optim.sgd": "ssl_cli.optim.optimizers.sgd",
    "ssl_cli.pretext.augment.OneView": "ssl_cli.pretext.one_view.OneView",
    "ssl_cli.schedule.Constant": "ssl_cli.optim.schedule.Constant",
    "ssl_cli.schedule.Cosine": "ssl_cli.optim.schedule.Cosine",
}


def with_new_names(node: Any) -> Any:
    """Return a config as plain containers in which every ``_target_`` that has moved has its new name.

    It has to be known to be of a reasonable size; see `ssl_cli.config.stored.check_targets`.
    """
    if isinstance(node, Mapping):
        moved = {key: with_new_names(value) for key, value in node.items()}
        if isinstance(target := moved.get("_target_"), str):
            moved["_target_"] = MOVED.get(target, target)
        return moved
    if isinstance(node, list):
        return [with_new_names(value) for value in node]
    return node
