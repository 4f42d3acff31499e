"""Where the arithmetic runs, on how many threads, and in which precision."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ssl_cli.errors import UserError
from ssl_cli.system.cpus import thread_count

RESIDENT = 0.25  # of a GPU's free memory, that inputs may take


def choose_device(name: str) -> torch.device:
    """Return the device for ``auto | cpu | cuda | mps``; ``auto`` is a CUDA GPU if there is one, else the CPU."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[name]:
        usable = ", ".join(key for key, value in available.items() if value)
        raise UserError(f"trainer.device={name} is not available on this machine; it has {usable}")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the autocast type for ``auto | fp32 | bf16``; ``auto`` is bf16 where the device computes in it.

    Never fp16: without loss scaling it overflows, and on a CPU it is emulated.
    """
    if name == "auto":
        return torch.bfloat16 if _computes_bf16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def precision_reason(name: str, device: torch.device) -> str:
    """Return the precision of the forward pass and the reason for it, for the plan."""
    able = _computes_bf16(device)
    where = "processor" if device.type == "cpu" else "device"
    if name == "auto":
        return f"bf16 autocast (this {where} computes in it)" if able else f"fp32 (this {where} has no bf16 arithmetic)"
    if name == "fp32":
        return "fp32 (as you set it; bf16 would be quicker here)" if able else "fp32"
    return "bf16 autocast" if able else f"bf16 autocast (as you set it; this {where} emulates it, which is slower)"


def set_threads(threads: int | None) -> None:
    """Set the number of CPU threads; None: PyTorch's choice, within the limit of the container."""
    torch.set_num_threads(threads or thread_count(torch.get_num_threads()))


@contextmanager
def quick_products(device: torch.device) -> Iterator[None]:
    """Allow a GPU to use TF32 for float32 products (10 bits of mantissa) and its quickest convolutions, while training.

    Measurements are taken outside, in full float32. On a CPU nothing changes.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.benchmark = before[1]


def resident(inputs: Tensor, device: torch.device) -> Tensor:
    """Return the inputs on the GPU if they take little of its memory, so that no batch has to travel; else as given."""
    if device.type != "cuda" or inputs.nbytes > RESIDENT * torch.cuda.mem_get_info(device)[0]:
        return inputs
    return inputs.to(device)


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
