"""An operation on part of a batch, or alike on all frames of a clip."""

from collections.abc import Callable

from torch import Tensor

from ssl_cli.system.transfer import send


def apply_where(chosen: Tensor, images: Tensor, operation: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """Return ``images`` with the ``chosen`` [B] bool rows replaced by ``operation(rows, *their parameters)``.

    It may change ``images`` in place. ``chosen`` and ``parameters`` [B, ...] may be on another device; on the CPU they
    cost a GPU no synchronisation.
    """
    members = chosen.nonzero().squeeze(1)
    if len(members) == 0:
        return images
    if len(members) == len(chosen):
        return operation(images, *parameters)
    rows = send(members, images.device)
    changed = operation(images.index_select(0, rows), *(p.index_select(0, members) for p in parameters))
    return images.index_copy_(0, rows, changed)


def each(frames: int, drawn: Tensor | None) -> Tensor | None:
    """Return what each of n clips has drawn [n, ...] for each of its frames [n * frames, ...]; None stays None."""
    return drawn if frames == 1 or drawn is None else drawn.repeat_interleave(frames, dim=0)
