"""The model part of a step against what the machine can do: its matrix products, and the net's own convolutions."""

import time
from functools import partial

from benchmarks.harness import Variant, median, ratio, take_turns

BATCH = 512  # 256 images, two views
SIDE = 2048  # of the matrices whose product is the machine's peak


def measure(options, backbone: str) -> dict:
    """Measure the row for one backbone; see `benchmarks.__main__`."""
    here = "benchmarks.limit"
    setting = {"backbone": backbone, "bf16": options.bf16}
    names = {"model": "forward, backward, optimizer"}
    names["peak"] = "as many operations in matrix products" if backbone == "convnet" else "its convolutions alone"
    variants = {
        "model": Variant(f"{here}:model", setting),
        "peak": Variant(f"{here}:{'products' if backbone == 'convnet' else 'convolutions'}", setting),
    }
    rounds = take_turns(variants, options.rounds, options.threads)
    reached = ratio(rounds["model"], rounds["peak"], "seconds")
    target = 0.60 if backbone == "convnet" else 0.88
    rows = [[names[key], f"{median(values, 'seconds'):.3f}"] for key, values in rounds.items()]
    precision = "bf16" if options.bf16 else "fp32 (this processor has no bf16 arithmetic)"
    return {
        "ratios": [{"label": "share of the limit that is reached", **reached, "target": target}],
        "table": [["", "seconds a step"], *rows],
        "notes": [f"In {precision}."],
    }


convnet = partial(measure, backbone="convnet")
resnet18 = partial(measure, backbone="resnet18")


def _prepared(backbone: str):
    from ssl_cli.system.memory import keep_freed_memory

    keep_freed_memory()
    import torch

    from ssl_cli.backbones.convnet import ConvNet
    from ssl_cli.backbones.resnet import ResNet
    from ssl_cli.methods.shared.heads import mlp

    net = ConvNet(3) if backbone == "convnet" else ResNet(3, "resnet18", "cifar")
    model = torch.nn.Sequential(net, mlp(net.dim, 256, 128, 2)).to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    return torch, model, images


def _timed(once):
    def measured() -> dict[str, float]:
        began = time.perf_counter()
        once()
        return {"seconds": time.perf_counter() - began}

    once()
    return measured


def model(backbone: str, bf16: bool):
    """Return the step without images and augmentation."""
    torch, net, images = _prepared(backbone)
    from ssl_cli.methods.simclr import nt_xent

    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, fused=True)

    def once() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = nt_xent(*net(images).chunk(2), 0.2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return _timed(once)


def products(backbone: str, bf16: bool):
    """Return square matrix products with as many operations as the step has."""
    torch, net, images = _prepared(backbone)
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        net(images).sum().backward()
    count = max(1, round(counter.get_total_flops() / (2 * SIDE**3)))
    exact = counter.get_total_flops() / (2 * SIDE**3) / count
    a, b = (torch.randn(SIDE, SIDE, dtype=torch.bfloat16 if bf16 else torch.float32) for _ in range(2))
    out = torch.empty_like(a)

    def once() -> None:
        for _ in range(count):
            torch.mm(a, b, out=out)

    measured = _timed(once)
    return lambda: {"seconds": measured()["seconds"] * exact}


def convolutions(backbone: str, bf16: bool):
    """Return every convolution of the net by itself, forward and backward."""
    torch, net, images = _prepared(backbone)
    layers = []

    def remember(layer, inputs, output) -> None:
        layers.append((layer, inputs[0].shape, output.shape))

    hooks = [m.register_forward_hook(remember) for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    dtype = torch.bfloat16 if bf16 else torch.float32

    def run(layer, shape, out_shape, first) -> None:
        x, grad = (
            torch.randn(s, dtype=dtype).contiguous(memory_format=torch.channels_last) for s in (shape, out_shape)
        )
        weight = layer.weight.to(dtype)
        began = time.perf_counter()
        torch.nn.functional.conv2d(x, weight, None, layer.stride, layer.padding)
        torch.ops.aten.convolution_backward(
            *(grad, x, weight, None, layer.stride, layer.padding, (1, 1), False, (0, 0), 1), (not first, True, False)
        )
        spent.append(time.perf_counter() - began)

    spent = []

    def once() -> dict[str, float]:
        spent.clear()
        for number, (layer, shape, out_shape) in enumerate(layers):
            run(layer, shape, out_shape, number == 0)
        return {"seconds": sum(spent)}

    once()
    return once
