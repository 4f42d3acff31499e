"""The tensors of a file come into a network, all of them or none."""

from collections.abc import Sequence

from torch import nn

from ssl_cli.backbones.foreign.fit import COUNTER, Convert, fit
from ssl_cli.backbones.foreign.origin import Origin
from ssl_cli.backbones.foreign.read import digest, read


def load(
    net: nn.Module,
    origin: Origin,
    what: str,
    *,
    convert: Convert = lambda part: part,
    first: Sequence[str] = (),
    heads: Sequence[str] = (),
    hint: str = "choose the backbone that the weights are of",
) -> Origin:
    """Fill a network with the tensors of ``origin.file``; see `fit` for the arguments and for what is refused.

    Returns:
        The origin with what was taken, and the hash of the file.
    """
    found = fit(net.state_dict(), read(origin.path).tensors, what, convert=convert, first=first, heads=heads, hint=hint)
    net.load_state_dict(found.state)
    weights = [name for name in found.state if not name.endswith(COUNTER)]
    return origin.taken(digest(origin.path), len(weights), found.part, found.left)
