"""How hypothesis changes command lines, configs and files."""

from hypothesis import strategies as st
from omegaconf import OmegaConf

SMALL = [
    *("dataset=shapes", "dataset.num_images=60", "dataset.storage_size=16", "dataset.channels=1"),
    *("backbone.widths=[4,8]", "trainer.threads=1", "trainer.batch_size=16"),
]
PLAN = [*SMALL, "trainer.dry_run=true"]
OF_RUN = ["trainer.threads=1"]
LINES = [
    ["train", "method=simclr", *PLAN],
    ["train", "method=moco", "method.queue_size=64", "optimizer=sgd", *PLAN],
    ["train", "method=fixmatch", "dataset.labels=4/class", *PLAN],
    ["train", "method=rotation", "augment.crop.scale=[0.5,1]", "seed=1", *PLAN],
    ["train", "resume=run", "trainer.epochs=3", "trainer.dry_run=true"],
    ["train", "init=run/checkpoints/last.pt", "method=supervised", *PLAN],
    ["train", "-m", "seed=0,1", "--config-dir=mine", *PLAN],
    ["train", "--cfg", "job", "method=byol"],
    ["probe", "ckpt=run", "probe=knn", *OF_RUN],
    ["embed", "ckpt=run", "split=test", "out=features.npz", *OF_RUN],
    ["export", "ckpt=run", "out=backbone.safetensors"],
    ["runs", "outputs", "--sort", "val_knn"],
    ["compare", "run", "run"],
    ["check", "run"],
    ["report", "run"],
    ["--version"],
]
VALUES = [
    *("", "null", "true", "0", "-1", "1", "3", "0.5", "-0.0", "1e9", "1e309", "nan", "inf", "-inf", "9" * 30, "abc"),
    *("''", "[]", "{}", "[1,", "{a:1}", "[null]", "[[1]]", "a,b", "1,2", "range(1,3)", "choice(1,2)", "${seed}"),
    *("${nothing}", "${oc.env:HOME}", "???", "?", "\\", '"', "ä", "名", "a b", "../..", "/", "%", "=", "~", "x" * 300),
    *(
        "run",
        "mine",
        "1_000",
        "0x10",
        "1e3",
        "1.",
        "2/class",
        "all",
        "10%",
        "-5%",
        "cpu",
        "cuda:7",
        "int",
        "None",
        "no",
    ),
]
OTHER = [None, 0, -1, 3, 1e9, 0.5, float("nan"), float("inf"), 10**10, "x", "", [], [1], True, {"a": 1}, {}]
TEXT = st.text(st.sampled_from("aeiou.=,[]{}$:'\"\\/@+~- 0123456789\t\nä\u202e\x1b\x00"), max_size=4)
WORDS = st.sampled_from(
    [*{word for line in LINES for word in line}, "-m", "-h", "--cfg", "--info", "--config-dir", "--", "-", "trainer=x"]
)


@st.composite
def command_lines(draw) -> list[str]:
    line = list(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(line) - 1)) if line else 0
        kind = draw(st.sampled_from(["value", "value", "text", "cut", "drop", "add", "swap", "twice", "sign"]))
        if kind == "value" and line and "=" in line[at]:
            line[at] = f"{line[at].split('=')[0]}={draw(st.sampled_from(VALUES))}"
        elif kind == "text" and line:
            place = draw(st.integers(0, len(line[at])))
            line[at] = line[at][:place] + draw(TEXT) + line[at][place + draw(st.integers(0, 2)) :]
        elif kind == "cut" and line:
            line[at] = line[at][: draw(st.integers(0, len(line[at])))]
        elif kind == "drop" and line:
            del line[at]
        elif kind == "add":
            line.insert(at, draw(WORDS))
        elif kind == "swap" and line:
            other = draw(st.integers(0, len(line) - 1))
            line[at], line[other] = line[other], line[at]
        elif kind == "twice" and line:
            line.insert(at, line[at])
        elif kind == "sign" and line:
            line[at] = draw(st.sampled_from(["+", "++", "~", "-", "--"])) + line[at]
    # A plan trains nothing; a line that has lost that word, or means another directory, is none to run here.
    if line[:1] == ["train"] and "trainer.dry_run=true" not in line:
        line.append("trainer.dry_run=true")
    return line


def placed(config: object, path: tuple) -> tuple[object, object]:
    for key in path[:-1]:
        config = config[key]
    return config, path[-1]


def leaves(config, path: tuple = ()):
    """Yield the path of each node."""
    if path:
        yield path
    if isinstance(config, dict):
        for key, value in config.items():
            yield from leaves(value, (*path, key))


@st.composite
def mutated(draw, config: dict) -> dict:
    """Yield a config of which some nodes have other values, or names, or are gone."""
    config = OmegaConf.to_container(OmegaConf.create(config))
    for _ in range(draw(st.integers(1, 3))):
        paths = list(leaves(config))
        if not paths:
            break
        parent, key = placed(config, draw(st.sampled_from(paths)))
        kind = draw(st.sampled_from(["value", "value", "drop", "name", "kind"]))
        if kind == "value":
            parent[key] = draw(st.sampled_from(OTHER))
        elif kind == "drop":
            del parent[key]
        elif kind == "name":
            parent[f"{key}{draw(st.sampled_from(['x', '.', ' ', '_']))}"] = parent.pop(key)
        else:
            parent[key] = draw(st.sampled_from([str, lambda value: [value], lambda value: {"a": value}]))(parent[key])
    return config


@st.composite
def torn(draw, text: str) -> bytes:
    """Return a file that has lost or gained lines or bytes."""
    lines = text.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(lines) - 1)) if lines else 0
        kind = draw(st.sampled_from(["drop", "twice", "cut", "text", "indent"]))
        if kind == "drop":
            lines = lines[:at] + lines[at + 1 :]
        elif kind == "twice" and lines:
            lines.insert(at, lines[at])
        elif kind == "cut":
            lines = lines[:at]
        elif kind == "text":
            lines.insert(at, draw(TEXT))
        elif lines:
            lines[at] = "  " + lines[at]
    data = bytearray("".join(lines).encode())
    for _ in range(draw(st.integers(0, 2))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)
