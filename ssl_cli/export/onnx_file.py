"""One file for any runtime of ONNX: uint8 images of any size go in, features and probabilities come out."""

import contextlib
import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl_cli.export.model import Model
from ssl_cli.export.pixels import CentreSquare
from ssl_cli.export.subject import Subject, check_same


class Whole(nn.Module):
    """A model from stored images to what it makes of them."""

    def __init__(self, model: Model):
        super().__init__()
        self.pixels = CentreSquare(model.info.image_size, model.info.mean, model.info.std)
        self.backbone, self.head = model.backbone, model.head

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return features [B, dim], and with a head probabilities [B, K], of images [B, H, W, C] uint8."""
        features = self.backbone(self.pixels(images))
        return (features,) if self.head is None else (features, self.head(features).softmax(1))


def write(file: Path, s: Subject, about: dict[str, Any]) -> float:
    """Write the file, and run it once on the images of ``s`` by onnxruntime.

    Args:
        file: the file.
        s: what is exported.
        about: is kept in the file, as JSON, under ``about``.

    Returns:
        How far from the model its numbers are, at most.

    Raises:
        UserError: too far.
    """
    import onnxruntime

    whole = Whole(s.model).eval()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of the exporter, about itself
        program = torch.onnx.export(
            whole,
            (s.images[1][:2],),
            dynamo=True,
            dynamic_shapes={"images": {0: "batch", 1: "height", 2: "width"}},
            input_names=["images"],
            output_names=["features", "probabilities"][: 1 + (s.model.head is not None)],
            verbose=False,
        )
    program.model.metadata_props["about"] = json.dumps(about)
    program.save(file, external_data=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    apart = 0.0
    for images in s.images:
        with torch.no_grad():
            here = whole(images)
        there = tuple(torch.from_numpy(out) for out in session.run(None, {"images": images.numpy()}))
        apart = max(apart, check_same("ONNX file", here, there))
    return apart
