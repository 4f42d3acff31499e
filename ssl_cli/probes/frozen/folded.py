"""A frozen network that computes the same features in less time on a CPU.

Each BatchNorm goes into the weights of the convolution before it; oneDNN's convolution adds the residual sum and the
activation, so a map passes through memory once, not four times.
"""

import math
import operator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ssl_cli.backbones.base import Backbone

VERSION = 1  # part of the key of kept features: raise it when their last bits may change
RELU = "relu", ()
ACTIVATIONS = {nn.ReLU: RELU, nn.ReLU6: ("hardtanh", (0.0, 6.0)), nn.SiLU: ("swish", ())}  # oneDNN's names
RELUS = (F.relu, torch.relu, torch.relu_, "relu", "relu_")  # functions, and methods of a tensor
TOLERANCE = 1e-4  # largest difference of a feature, as a share of the largest feature
PADDED = "Conv2dSame"  # timm's convolution with TensorFlow's padding, which depends on the size


def folded(network: nn.Module, like: Tensor) -> nn.Module:
    """Return a network with the same features up to rounding, in less time; or ``network`` itself.

    It returns the network itself on a GPU, if no BatchNorm follows a convolution, if the code's path depends on the
    images, and if a trial on a random image gives other features.

    Args:
        network: in evaluation mode; it does not change. The result shares weights with it: use it before they change.
        like: inputs, on the device of the network.
    """
    usable = like.device.type == "cpu" and like.ndim == 4 and torch.backends.mkldnn.is_available()
    if not usable or not isinstance(network, Backbone) or not any(isinstance(p, _BatchNorm) for p in network.modules()):
        return network
    x = torch.randn(1, *like.shape[1:], generator=torch.Generator().manual_seed(0))  # one choice for all data
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        try:
            traced = fx.GraphModule(network, _Tracer().trace(network))
            if not _fold(traced):
                return network
            features, expected = traced(x), network(x)
        except Exception:  # the code may be anyone's: a network that cannot be traced runs as it is
            return network
    return traced if (features - expected).abs().max() <= TOLERANCE * expected.abs().max() else network


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, (_BatchNorm, nn.Conv2d)) or super().is_leaf_module(module, name)


@dataclass
class _Chain:
    """A convolution and the operations after it that it can do itself."""

    nodes: list[fx.Node]  # the convolution first
    weight: Tensor
    bias: Tensor | None
    attached: list[fx.Node] = field(default_factory=list)  # the other summand, if any
    activation: tuple[str, tuple[float, ...]] | None = None

    @property
    def last(self) -> fx.Node:
        """The node of the result."""
        return self.nodes[-1]

    def following(self) -> fx.Node | None:
        """Return the one node that uses the result; None if several do."""
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
    """Return a convolution with all that it can do at once; None if no BatchNorm follows it."""
    chain = _Chain([node], conv.weight, conv.bias)
    norm = _module(chain.following(), modules)
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None:
        return None
    if type(getattr(norm, "drop", None)) not in (type(None), nn.Identity):
        return None
    statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    chain.weight, chain.bias = fuse_conv_bn_weights(chain.weight, chain.bias, *statistics)
    chain.nodes.append(chain.following())
    own = getattr(norm, "act", None)  # timm's norms hold their activation
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
    """A convolution with a BatchNorm in its weights, then a sum and an activation, in one pass over memory.

    Args:
        conv: gives stride, padding, dilation and groups.
        weight: [O, I / groups, h, w], with the BatchNorm in it.
        bias: [O], likewise.
        activation: name and numbers, as in `ACTIVATIONS`; None: none.
    """

    def __init__(self, conv: nn.Conv2d, weight: Tensor, bias: Tensor, activation: tuple[str, tuple[float, ...]] | None):
        super().__init__()
        self.stride, self.dilation, self.kernel = list(conv.stride), list(conv.dilation), list(conv.kernel_size)
        self.same = type(conv).__name__ == PADDED
        self.how = ([0, 0] if self.same else list(conv.padding), self.stride, self.dilation, conv.groups)
        self.name, self.numbers = activation or ("none", ())
        self.weight = nn.Parameter(weight.detach().contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x: Tensor, summand: Tensor | None = None) -> Tensor:
        """Return the activation of conv(x) [B, O, h, w], or of conv(x) + summand."""
        x, numbers, op = (
            self._padded(x) if self.same else x,
            list(self.numbers),
            torch.ops.mkldnn._convolution_pointwise,
        )
        if summand is None:
            return op(x, self.weight, self.bias, *self.how, self.name, numbers, "")
        name = None if self.name == "none" else self.name
        return op.binary(x, summand, self.weight, self.bias, *self.how, "add", 1.0, name, numbers, "")

    def _padded(self, x: Tensor) -> Tensor:
        sides = zip(x.shape[2:], self.kernel, self.stride, self.dilation, strict=True)
        lacking = [max((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in sides]
        (up, left), (height, width) = (n // 2 for n in lacking), lacking
        return F.pad(x, (left, width - left, up, height - up)) if any(lacking) else x
