"""What `ssl audit` finds of copies that were planted, and how long it takes: `python -m benchmarks.audit --data DIR`.

DIR holds {train,test}/<class>/*.jpg of 32x32 pixels. Some of the files are copied into a folder, and copies of some of
these are planted among them: with equal pixels in other formats, encoded as JPEG of quality 50, cut to 90 %, mirrored,
or of half the size. A group of near copies without any that was planted is natural, or a false alarm: look at them.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import environment

EXACT = ("jpg", "png", "bmp")  # in turn: the file itself, and its pixels in other formats
COPIES = ("exact copies", "near copies")


def crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return nine tenths of both sides, from anywhere."""
    width, height = (round(0.9 * side) for side in image.size)
    left, top = random.integers(0, image.width - width + 1), random.integers(0, image.height - height + 1)
    return image.crop((left, top, left + width, top + height))


NEAR = {  # kind -> the image, and how it is saved
    "JPEG of quality 50": (lambda image, _: image, {"suffix": "jpg", "quality": 50}),
    "90 % crop": (crop, {"suffix": "png"}),
    "mirrored": (lambda image, _: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), {"suffix": "png"}),
    "half size": (lambda image, _: image.resize((image.width // 2, image.height // 2)), {"suffix": "png"}),
}


def main() -> None:
    """Measure, and print a row a kind of copy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder")
    parser.add_argument("--part", default="test", choices=("train", "test"), help="whose files are taken")
    parser.add_argument("--files", type=int, default=10_000, help="how many")
    parser.add_argument(
        "--each", type=int, default=50, help="near copies of each kind; of equal ones four times as many"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is planted")
    parser.add_argument("--near", type=float, default=0.9, help="the setting")
    parser.add_argument("--show", type=Path, help="FILE.png: groups without a planted copy, to look at")
    parser.add_argument("--time", action="store_true", help="of the whole command on all files of DIR, instead")
    options = parser.parse_args()
    if options.time:
        timed(options.data)
        return
    with tempfile.TemporaryDirectory(prefix="ssl-audit-") as root:
        planted = plant(options, Path(root))
        found = audited(Path(root), options.near)
        report(planted, found, options)
        if options.show:
            show(Path(root), natural(planted, found), options.show)


def plant(options: argparse.Namespace, root: Path) -> dict[str, tuple[str, str]]:
    """Fill a folder, and return copy -> (what it is, the file that it is a copy of); names relative to the folder."""
    random, planted = np.random.default_rng(options.seed), {}
    classes = sorted(place for place in (options.data / options.part).iterdir() if place.is_dir())
    names = []
    for place in classes:
        for number, file in enumerate(sorted(place.iterdir())[: options.files // len(classes)]):
            name = f"{'test' if number % 5 == 0 else 'train'}/{place.name}/{file.name}"
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, root / name)
            names.append(name)
    order = iter(random.permutation(len(names)).tolist())
    for what in ["exact"] * (4 * options.each) + [kind for kind in NEAR for _ in range(options.each)]:
        source = names[next(order)]
        change, how = NEAR.get(what, (None, {"suffix": EXACT[len(planted) % len(EXACT)]}))
        copy = f"{random.choice(['train', 'test'])}/{source.split('/')[1]}/planted{len(planted)}.{how['suffix']}"
        planted[copy] = (what, source)
        if what == "exact" and how["suffix"] == "jpg":
            shutil.copy(root / source, root / copy)
            continue
        with Image.open(root / source) as image:
            image = image.convert("RGB")
            image = change(image, random) if change else image
            image.save(root / copy, **{key: value for key, value in how.items() if key != "suffix"})
    return planted


def audited(root: Path, near: float) -> list[tuple[str, list[str]]]:
    """Return the groups of copies that are found: what they are, and their files."""
    from omegaconf import OmegaConf

    from benchmarks.harness import compose_run
    from ssl_cli.audit.images import Images
    from ssl_cli.audit.run import audit
    from ssl_cli.data.dataset import load

    config = compose_run("method=simclr", "dataset=folder", f"dataset.root={root}", f"dataset.cache_dir={root}/cache")
    data = load(OmegaConf.to_container(config.dataset, resolve=True))
    findings = audit(Images.of(data, str(root)), near=near)
    return [(one.kind, [member.name for member in one.members]) for one in findings if one.kind in COPIES]


def report(planted: dict, found: list, options: argparse.Namespace) -> None:
    """Print what was found of each kind, and how many groups hold nothing that was planted."""
    group = {name: number for number, (_, names) in enumerate(found) for name in names}
    total, together, exactly = Counter(), Counter(), Counter()
    for copy, (what, source) in planted.items():
        total[what] += 1
        hit = copy in group and group[copy] == group.get(source)
        together[what] += hit
        exactly[what] += hit and found[group[copy]][0] == "exact copies"
    print(
        f"{options.files:,} files of {options.part}, {len(planted)} planted, near={options.near}, seed={options.seed}"
    )
    print("| planted | of them found | as exact copies |\n|---|---:|---:|")
    for what, count in total.items():
        print(f"| {what} | {together[what]} of {count} | {exactly[what]} |")
    alone = natural(planted, found)
    kinds = Counter(kind for kind, _ in alone)
    print(f"without a planted copy: {dict(kinds)}, {sum(len(names) for _, names in alone)} images")


def natural(planted: dict, found: list) -> list[tuple[str, list[str]]]:
    """Return the groups without a planted copy."""
    return [(kind, names) for kind, names in found if not any(name in planted for name in names)]


def show(root: Path, groups: list, file: Path, columns: int = 12, side: int = 64) -> None:
    """Write a picture of the groups, a row each (its first images)."""
    canvas = Image.new("RGB", (columns * side, max(1, len(groups)) * side), "white")
    for row, (_, names) in enumerate(groups):
        for column, name in enumerate(names[:columns]):
            with Image.open(root / name) as image:
                canvas.paste(image.convert("RGB").resize((side - 2, side - 2)), (column * side, row * side))
    canvas.save(file)


def timed(data: Path) -> None:
    """Time the whole command on all files of a folder, with nothing decoded before."""
    with tempfile.TemporaryDirectory(prefix="ssl-audit-") as scratch:
        command = [sys.executable, "-m", "ssl_cli", "audit", "dataset=folder", f"dataset.root={data.resolve()}"]
        command += [f"dataset.cache_dir={scratch}/cache", f"hydra.run.dir={scratch}/out"]
        began = time.monotonic()
        out = subprocess.run(command, env=environment(), cwd=scratch, check=True, text=True)
        print(json.dumps({"seconds": round(time.monotonic() - began, 1), "status": out.returncode}))


if __name__ == "__main__":
    main()
