"""The ten lines that use what is exported, as a program: ``python example.py IMAGE``."""

from ssl_cli.data.info import DataInfo
from ssl_cli.export.network import Network
from ssl_cli.export.subject import Subject

_HEAD = '''"""What the model makes of an image: python example.py IMAGE."""

import json
import sys
from pathlib import Path

'''
_START = """
here = Path(__file__).parent
"""
_END = """print("features:", *features[0].tolist())
"""
_CLASS = """classes = json.loads((here / "about.json").read_text(encoding="utf-8"))["classes"]
for name, probability in zip(classes, probabilities[0].tolist()):
    print(f"{name}: {probability}")
"""


def onnx_example(s: Subject) -> str:
    """Return the program that uses the ONNX file."""
    grey, has_head = s.info.channels == 1, s.model.head is not None
    image, batch = f'Image.open(sys.argv[1]).convert("{_mode(s.info)}")', "[None, :, :, None]" if grey else "[None]"
    outputs = "features, probabilities" if has_head else "(features,)"
    return _program(
        ["import numpy as np", "import onnxruntime", "from PIL import Image"],
        [
            'session = onnxruntime.InferenceSession(here / "model.onnx")',
            f"image = np.asarray({image})",
            f'{outputs} = session.run(None, {{"images": image{batch}}})',
        ],
        has_head,
    )


def timm_example(s: Subject) -> str:
    """Return the program that lets timm build the network."""
    has_head = s.model.head is not None
    return _program(
        ["import timm", "import torch", "from PIL import Image"],
        [
            'model = timm.create_model(f"local-dir:{here}", pretrained=True).eval()',
            "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))",
            f'image = transform(Image.open(sys.argv[1]).convert("{_mode(s.info)}"))[None]',
            "with torch.no_grad():",
            "    features = model.forward_head(model.forward_features(image), pre_logits=True)",
            *(["    probabilities = model(image).softmax(1)"] if has_head else []),
        ],
        has_head,
    )


def torch_example(s: Subject, net: Network) -> str:
    """Return the program that builds the network and loads the weights."""
    info, head = s.info, s.model.head
    loaded = []
    if head is not None:
        loaded.append(f"head = torch.nn.Linear({head.in_features}, {head.out_features})")
        loaded.append('head.load_state_dict(load_file(here / "head.safetensors"))')
    models = "models, transforms" if any("models." in line for line in net.lines) else "transforms"
    return _program(
        [
            *("import torch", *net.imports, "from PIL import Image"),
            *("from safetensors.torch import load_file", f"from torchvision import {models}"),
        ],
        [
            *net.lines,
            'model.load_state_dict(load_file(here / "model.safetensors"))',
            *loaded,
            f"resize = transforms.Resize({info.image_size}, transforms.InterpolationMode.BICUBIC)",
            f"normalize = transforms.Normalize({list(info.mean)}, {list(info.std)})",
            "transform = transforms.Compose(",
            f"    [resize, transforms.CenterCrop({info.image_size}), transforms.ToTensor(), normalize]",
            ")",
            f'image = transform(Image.open(sys.argv[1]).convert("{_mode(info)}"))[None]',
            "with torch.no_grad():",
            "    features = model.eval()(image)",
            *(["    probabilities = head(features).softmax(1)"] if head is not None else []),
        ],
        head is not None,
    )


def _program(imports: list[str], lines: list[str], has_head: bool) -> str:
    head = _HEAD if has_head else _HEAD.replace("import json\n", "")
    body = [*imports, _START.rstrip("\n"), *lines]
    return head + "\n".join(body) + "\n" + _END + (_CLASS if has_head else "")


def _mode(info: DataInfo) -> str:
    return "L" if info.channels == 1 else "RGB"
