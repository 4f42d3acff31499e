"""Where the arithmetic runs, and in which precision."""

import torch

from ssl_cli.errors import UserError


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


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
