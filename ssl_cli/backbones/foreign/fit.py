"""Tensors by the names of whoever published them -> the state dict of a network: every tensor is filled, or none."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ssl_cli.errors import UserError

Tensors = dict[str, Tensor]
Convert = Callable[[Tensors], Tensors]

# What stands before a network's own names: containers of checkpoints, wrappers, and what methods call the network.
WRAPPERS = (
    *("state_dict", "model_state_dict", "state_dict_ema", "model_ema", "ema", "model", "net", "network", "module"),
    *(
        "_orig_mod",
        "weights",
        "params",
        "backbone",
        "encoder",
        "trunk",
        "visual",
        "resnet",
        "vit",
        "teacher",
        "student",
    ),
    *("encoder_q", "encoder_k", "base_encoder", "momentum_encoder", "momentum_backbone", "backbone_momentum"),
    *("online_encoder", "target_encoder", "online_network", "target_network", "student_backbone", "teacher_backbone"),
)
# Of two copies that fit, the one that its authors evaluate: DINO's teacher, an average, but the query encoder of MoCo.
LESSER = ("student", "momentum", "encoder_k", "target")
BETTER = ("ema", "teacher")
# What a network has for its training and a backbone does not: its first word, behind what stands before all names.
HEADS = re.compile(
    r"(fc|head|heads|head_dist|classifier|linear|last_linear|prototypes?|projector|projection|projection_head|"
    r"projection_mlp|prediction_head|prediction_mlp|predictor|mlp_head|contrastive_head|online_classifier|pre_logits|"
    r"queue|queue_ptr|mask_token|masked_embed|decoder\w*|instance_discriminator)(\.|$)"
)
COUNTER = "num_batches_tracked"  # of BatchNorm; old files have none, and nothing that is computed needs it


@dataclass
class Fitted:
    """What was taken from a file, and what was left there."""

    state: Tensors  # the whole state dict of the network
    part: str  # what stood before the names that were taken: ``"module.encoder_q."``
    left: list[str]  # names beside them that a backbone has no place for: heads


def fit(
    own: Mapping[str, Tensor],
    found: Tensors,
    what: str,
    *,
    convert: Convert = lambda part: part,
    first: Sequence[str] = (),
    heads: Sequence[str] = (),
    hint: str = "choose the backbone that the weights are of",
) -> Fitted:
    """Return the state dict of a network, made of the tensors of a file.

    Args:
        own: the network's state dict as it is.
        found: the tensors of the file.
        what: the file as it was typed, ``backbone.weights=FILE``.
        convert: turns the names (and positions) of those who published it into the network's; may fail on others.
        first: names of the first convolutions' weights: to a network of one channel comes their sum over three.
        heads: further names that are left out, with all below them.
        hint: what to do where they are of another network.

    Raises:
        UserError: names the first tensor that is missing, left over or of another shape.
    """
    part, tensors = _best(own, found, convert)
    if not any(name in own for name in tensors):
        some = next(iter(found))
        raise UserError(
            f"{what} holds no tensor of this network's names (it has {_shown(some)}, the network "
            f"{_shown(next(iter(own)))}); {hint}"
        )
    state = {}
    for name, tensor in own.items():
        given = tensors.get(name)
        if given is None and name.endswith(COUNTER):
            given = tensor
        elif given is None:
            raise _unlike(what, f"{name} is missing there", part, hint)
        elif name in first and tensor.shape[1:2] == (1,) and given.shape[1:] == (3, *tensor.shape[2:]):
            given = given.float().sum(1, keepdim=True)  # what a grey image would get in colour
        if name in first and given.shape[2:] == tensor.shape[2:] and given.shape[1] != tensor.shape[1]:
            raise UserError(
                f"{what} is of images of {given.shape[1]} channels, these have {tensor.shape[1]}; "
                f"write dataset.channels={given.shape[1]}, or other weights"
            )
        if given.shape != tensor.shape:
            shapes = f"{list(given.shape)} there and {list(tensor.shape)} in the network"
            raise _unlike(what, f"{name} is of shape {shapes}", part, hint)
        state[name] = given.to(tensor.dtype)
        if not given.isfinite().all():
            raise UserError(f"{what} holds numbers that are not finite, in {_shown(part + name)}; use another file")
    left = [name for name in tensors if name not in own]
    for name in left:
        if not (HEADS.match(name) or any(name == head or name.startswith(f"{head}.") for head in heads)):
            raise _unlike(what, f"{name} is left over: the network has no such tensor", part, hint)
    return Fitted(state, part, left)


def _best(own: Mapping[str, Tensor], found: Tensors, convert: Convert) -> tuple[str, Tensors]:
    """Return what stands before the network's names in a file, and the tensors behind it by the network's names."""

    def behind(prefix: str) -> Tensors:
        part = {name[len(prefix) :]: tensor for name, tensor in found.items() if name.startswith(prefix)}
        part = _as_resnet(part)
        try:
            return convert(dict(part))
        except Exception:  # it knows the names of one family only, and may change a dictionary half
            return part

    def score(prefix: str, tensors: Tensors) -> tuple[int, int, int]:
        fitting = sum(name in own and tensor.shape == own[name].shape for name, tensor in tensors.items())
        words = prefix.replace(".", "_")
        rank = any(word in words for word in BETTER) - any(word in words for word in LESSER)
        return fitting, rank, -len(prefix)

    candidates = {prefix: behind(prefix) for prefix in _prefixes(own, found)}
    return max(candidates.items(), key=lambda item: score(*item))


def _prefixes(own: Mapping[str, Tensor], found: Tensors) -> Iterator[str]:
    """Return what may stand before the network's names: known wrappers, and whatever stands before most of them."""
    known, behind = {""}, Counter()
    for name in found:
        words = name.split(".")
        for count in range(1, len(words)):
            prefix = ".".join(words[:count]) + "."
            if words[count - 1] in WRAPPERS and all(word in WRAPPERS for word in words[:count]):
                known.add(prefix)
            if ".".join(words[count:]) in own:
                behind[prefix] += 1
    return iter(sorted(known | {prefix for prefix, _ in behind.most_common(3)}))


def _as_resnet(part: Tensors) -> Tensors:
    """Return a ResNet that lightly has put into a sequence, without its names, by torchvision's names."""
    if "0.weight" not in part or not any(name.startswith("4.0.conv1.") for name in part):
        return part
    named = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
    cut = [(name, *name.partition(".")) for name in part]
    return {f"{named.get(head, head)}{dot}{rest}": part[name] for name, head, dot, rest in cut}


def _unlike(what: str, difference: str, part: str, hint: str) -> UserError:
    where = f" (behind {_shown(part)})" if part else ""
    return UserError(f"{what} is not of this network: {_shown(difference, 160)}{where}; nothing was loaded: {hint}")


def _shown(name: str, longest: int = 60) -> str:
    return name if len(name) <= longest else f"{name[:longest]}..."
