"""A frozen network made quick: BatchNorm folded into convolutions, activation and residual sum done by them."""

import math
import operator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ssl_cli.backbones.base import Backbone, evaluating

RELU = "relu", ()
ACTIVATIONS = {nn.ReLU: RELU, nn.ReLU6: ("hardtanh", (0.0, 6.0)), nn.SiLU: ("swish", ())}  # as oneDNN calls them
RELUS = (F.relu, torch.relu, torch.relu_, "relu", "relu_")  # functions, and methods of a tensor
TOLERANCE = 1e-4  # of the features' size, that they may differ by
PADDED = "Conv2dSame"  # timm's convolution with TensorFlow's padding, which depends on the size


@dataclass
class Quick:
    """A network that gives a backbone's features, and what is known of it from a trial."""

    network: nn.Module
    largest: int  # bytes of the largest map that it makes of one image


def quickened(backbone: nn.Module, image: Tensor) -> Quick:
    """Return what gives the same features as a backbone, up to rounding, in evaluation mode, and costs less.

    It shares what it does not change with ``backbone``, which stays as it is: its weights must not change meanwhile.
    Where the way depends on the images, where no BatchNorm follows a convolution, or where a trial shows other features
    than the backbone's, it is the backbone itself.

    Args:
        backbone: in evaluation mode.
        image: [1, C, H, W], normalised, on its device: what is tried.
    """
    with torch.no_grad():
        expected, largest = _tried(backbone, image)
        network = folded(backbone)
        if network is not backbone:
            features, largest = _tried(network, image)
            if not (features - expected).abs().max() <= TOLERANCE * expected.abs().max():
                network = backbone
    return Quick(network, largest)


def _tried(network: nn.Module, image: Tensor) -> tuple[Tensor, int]:
    """Return the features of an image, and the bytes of the largest map on the way."""
    sizes = [image.nbytes]

    def note(module: nn.Module, args: tuple, out: object) -> None:
        if isinstance(out, Tensor):
            sizes.append(out.nbytes)

    hooks = [part.register_forward_hook(note) for part in network.modules() if not any(part.children())]
    try:
        return network(image), max(sizes)
    finally:
        for hook in hooks:
            hook.remove()


def folded(network: nn.Module) -> nn.Module:
    """Return a network with its BatchNorms in its convolutions; itself where there is none to put there."""
    if not isinstance(network, Backbone) or not any(isinstance(part, _BatchNorm) for part in network.modules()):
        return network
    with evaluating(network), torch.no_grad():
        try:
            traced = fx.GraphModule(network, _Tracer().trace(network))
        except Exception:  # of Python code of any kind: what cannot be traced runs as it is
            return network
        count = _fold(traced)
    return traced.eval().requires_grad_(False) if count else network


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, (_BatchNorm, nn.Conv2d)) or super().is_leaf_module(module, name)


@dataclass
class _Chain:
    """A convolution and what comes after it, so far as it can do that itself."""

    nodes: list[fx.Node]  # the convolution first
    weight: Tensor
    bias: Tensor | None
    attached: list[fx.Node] = field(default_factory=list)  # the other summand, if any
    activation: tuple[str, tuple[float, ...]] | None = None

    @property
    def last(self) -> fx.Node:
        """What gives the result."""
        return self.nodes[-1]

    def following(self) -> fx.Node | None:
        """Return the one node that uses the result; None where several do."""
        return next(iter(self.last.users)) if len(self.last.users) == 1 else None


def _fold(traced: fx.GraphModule) -> int:
    """Put a `FoldedConv` in the place of each convolution with a BatchNorm; return how many there are."""
    graph, modules, count = traced.graph, dict(traced.named_modules()), 0
    for node in list(graph.nodes):
        conv = modules.get(node.target) if node.op == "call_module" else None
        if type(conv) is not nn.Conv2d and type(conv).__name__ != PADDED:
            continue
        if type(conv) is nn.Conv2d and (conv.padding_mode != "zeros" or isinstance(conv.padding, str)):
            continue
        if (chain := _chain(node, conv, modules)) is None:
            continue
        name = f"folded_{count}"
        traced.add_submodule(name, FoldedConv(conv, chain.weight, chain.bias, chain.activation))
        with graph.inserting_before(node):
            quick = graph.call_module(name, (*node.args, *chain.attached))
        chain.last.replace_all_uses_with(quick)
        for replaced in reversed(chain.nodes):
            graph.erase_node(replaced)
        count += 1
    traced.recompile()
    traced.delete_all_unused_submodules()
    return count


def _chain(node: fx.Node, conv: nn.Conv2d, modules: dict[str, nn.Module]) -> _Chain | None:
    """Return what one convolution can do at once; None where no BatchNorm follows it."""
    chain = _Chain([node], conv.weight, conv.bias)
    norm = _module(chain.following(), modules)
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None:
        return None
    if type(getattr(norm, "drop", None)) not in (type(None), nn.Identity):
        return None
    statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    chain.weight, chain.bias = fuse_conv_bn_weights(chain.weight, chain.bias, *statistics)
    chain.nodes.append(chain.following())
    own = getattr(norm, "act", None)  # timm's has its activation inside
    if own is not None and not isinstance(own, nn.Identity):
        chain.activation = ACTIVATIONS.get(type(own))
        return chain if chain.activation else None
    while isinstance(_module(chain.following(), modules), nn.Identity):
        chain.nodes.append(chain.following())
    after = chain.following()
    if after is not None and after.op == "call_function" and after.target in (operator.add, operator.iadd, torch.add):
        others = [value for value in after.args if value is not chain.last]
        if len(after.args) == 2 and len(others) == 1 and isinstance(others[0], fx.Node) and others[0] < node:
            chain.attached = others
            chain.nodes.append(after)
            after = chain.following()
    if after is not None:
        known = ACTIVATIONS.get(type(_module(after, modules)))
        if after.op in ("call_function", "call_method") and after.target in RELUS:
            known = RELU
        if known == RELU or (known and not chain.attached):
            chain.activation = known
            chain.nodes.append(after)
    return chain


def _module(node: fx.Node | None, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules.get(node.target) if node is not None and node.op == "call_module" else None


class FoldedConv(nn.Module):
    """A convolution with BatchNorm in its weights, then a sum and an activation: on a CPU in one pass over memory.

    Args:
        conv: whose stride, padding, ... it has.
        weight: [O, I / groups, h, w], with the BatchNorm in it.
        bias: [O], likewise.
        activation: name and numbers, as in `ACTIVATIONS`; None: none.
    """

    def __init__(self, conv: nn.Conv2d, weight: Tensor, bias: Tensor, activation: tuple[str, tuple[float, ...]] | None):
        super().__init__()
        self.stride, self.dilation, self.groups = list(conv.stride), list(conv.dilation), conv.groups
        self.kernel = list(conv.kernel_size)
        self.same = type(conv).__name__ == PADDED
        self.padding = [0, 0] if self.same else list(conv.padding)
        self.name, self.numbers = activation or ("none", ())
        self.weight = nn.Parameter(weight.detach().contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)
        self.packed: tuple[torch.Size, Tensor] | None = None  # the weight in oneDNN's order for images of a shape

    def forward(self, x: Tensor, summand: Tensor | None = None) -> Tensor:
        """Return the activation of conv(x) [B, O, h, w], or of conv(x) + summand."""
        if self.same:
            x = self._padded(x)
        if x.device.type != "cpu" or x.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
            return self._plain(x, summand)
        ops, how = torch.ops.mkldnn, (self.padding, self.stride, self.dilation, self.groups)
        if self.packed is None or self.packed[0] != x.shape:
            self.packed = x.shape, ops._reorder_convolution_weight(self.weight, *how, list(x.shape))
        weight, numbers = self.packed[1], list(self.numbers)
        if summand is None:
            return ops._convolution_pointwise(x, weight, self.bias, *how, self.name, numbers, "")
        name = None if self.name == "none" else self.name
        return ops._convolution_pointwise.binary(x, summand, weight, self.bias, *how, "add", 1.0, name, numbers, "")

    def _plain(self, x: Tensor, summand: Tensor | None) -> Tensor:
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        y = y if summand is None else y + summand
        if self.name == "hardtanh":
            return y.clamp_(*self.numbers)
        return {"none": lambda y: y, "relu": torch.relu_, "swish": F.silu}[self.name](y)

    def _padded(self, x: Tensor) -> Tensor:
        sides = zip(x.shape[2:], self.kernel, self.stride, self.dilation, strict=True)
        lacking = [max((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in sides]
        (up, left), (height, width) = (n // 2 for n in lacking), lacking
        return F.pad(x, (left, width - left, up, height - up)) if any(lacking) else x
