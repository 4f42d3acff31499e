"""The rows of `docs/results.md`: what is trained, and where a method cannot take the settings that all others have."""

from dataclasses import dataclass

EXPERIMENT = "experiment=cpu_small"
BUDGETS = ("all", "40/class", "10/class", "4/class", "1/class")  # of the linear probe
FEW = "40/class"  # labels of the methods that train with few
# Of every run. Steps are counted on one thread; only the end is looked at, and propagation is a page of its own.
COMMON = (
    EXPERIMENT,
    "trainer.threads=1",
    "trainer.eval_every=1000",
    f"probes.linear.labels=[{','.join(BUDGETS)}]",
    "probes.propagate=null",
)
FULL_SIZE = "trainer.progressive=null"


@dataclass(frozen=True)
class Row:
    """One line of the table: what is typed for it beside `COMMON`, and why it is not as all others."""

    settings: tuple[str, ...]
    why: str = ""
    few: bool = False  # trains with `FEW` labels, so its probes know no more
    trains: bool = True


def _predict(pretext: str, *settings: str, why: str = "") -> Row:
    return Row(("method=predict", f"pretext={pretext}", *settings), why)


def _few(method: str) -> Row:
    return Row((f"method={method}", f"dataset.labels={FEW}"), few=True)


_ONE_SIZE = "its task has images of one size"
ROWS: dict[str, Row] = {
    **{name: Row((f"method={name}",)) for name in ("simclr", "byol", "vicreg", "moco", "barlow_twins", "simsiam")},
    "supervised": Row(("method=supervised",)),
    "rotation": _predict("rotation"),
    **{name: Row((f"method={name}",)) for name in ("nnclr", "moco_v3", "siamese", "triplet", "deepcluster")},
    "swav": Row(
        ("method=swav", "method.freeze_epochs=0"),
        "its prototypes stay random for 10 epochs, unless told otherwise: longer than the whole training",
    ),
    "dino": Row(
        ("method=dino", "method.freeze_epochs=0"),
        "its prototypes stay random for 60 epochs, unless told otherwise: longer than the whole training",
    ),
    "supervised_few": _few("supervised"),
    "fixmatch": _few("fixmatch"),
    "flexmatch": _few("flexmatch"),
    "mean_teacher": _few("mean_teacher"),
    "pseudo_label": _few("pseudo_label"),
    "jigsaw": _predict("jigsaw", FULL_SIZE, why=_ONE_SIZE),
    "relative_patch": _predict("relative_patch", FULL_SIZE, why=_ONE_SIZE),
    "colorization": _predict("colorization", FULL_SIZE, why=_ONE_SIZE),
    "inpainting": _predict("inpainting", FULL_SIZE, why=_ONE_SIZE),
    "simmim": Row(("method=simmim", FULL_SIZE), _ONE_SIZE),
    "mae": Row(
        ("method=mae", "backbone=vit_small_images", FULL_SIZE),
        "it leaves patches out of a transformer's input, which a convolutional net cannot",
    ),
    "cpc": Row(
        ("method=cpc", "backbone.norm=group", FULL_SIZE),
        "BatchNorm would let it see the patches that it is to predict; its patches have one size",
    ),
    "supcon": Row(("method=supcon",)),
}
