"""What belongs to weights of the inputs that they are shown: normalisation, size, tokenizer."""

from collections.abc import Mapping
from typing import Any

from ssl_cli.backbones.foreign.origin import Origin

FOUND_OUT = (None, "auto")  # values that say nothing


def of_inputs(origin: Origin, node: Mapping[str, Any], by_experiment: bool = False) -> dict[str, Any]:
    """Return the settings of a data set that weights bring with them.

    Args:
        origin: of the weights.
        node: the data set's settings as composed.
        by_experiment: whether an experiment may have set some of them: then only what nobody has set is brought.
    """
    brought = {"mean": origin.mean, "std": origin.std, "storage_size": origin.size, **origin.inputs}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in brought.items()
        if value is not None and not (by_experiment and node.get(key) not in FOUND_OUT)
    }
