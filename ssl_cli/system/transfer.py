"""Small tensors brought to the device of the inputs while the host goes on: a GPU is never waited for in a step."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def send(x: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return ``x`` on ``device``; to a GPU by way of pinned memory, as any other copy would wait for it."""
    if device.type == "cuda" and x.device.type == "cpu":
        x = x if dtype is None else x.to(dtype)
        x = (x.contiguous() if isinstance(x, Tensor) else x).pin_memory()  # an expanded one cannot be pinned
    return x.to(device, dtype or x.dtype, non_blocking=device.type != "cpu")


def constant(values: Sequence | Tensor, like: Tensor) -> Tensor:
    """Return (nested) numbers as a tensor of ``like``'s type on its device, sent there once. Not to be written to."""
    if isinstance(values, Tensor):
        return send(values, like.device, like.dtype)
    return _constant(_frozen(values), like.dtype, like.device)


def striped(x: Tensor) -> Tensor:
    """Return images [B, C, H, W] as they are fastest convolved, channels last in memory; anything else as it is."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def striped_weights(module: nn.Module) -> nn.Module:
    """Return a module after its 2-D convolutions' weights are laid out as `striped` images are; others stay.

    They get the strides of that layout also where one channel or pixel would allow several, as by ``Module.to``.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return module


@functools.lru_cache(maxsize=256)
def _constant(values: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # also fit for training when it is first used in an evaluation
        return torch.tensor(values, dtype=dtype, device=device)


def _frozen(values: Sequence) -> tuple:
    return tuple(_frozen(v) if isinstance(v, Sequence) else v for v in values)
