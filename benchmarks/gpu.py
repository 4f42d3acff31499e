"""What `ssl` does on a GPU, in the minutes there are: `python -m benchmarks.gpu --data DIR --out docs/gpu.md`.

Three parts, each printed as it comes and kept as JSON in outputs/benchmarks/gpu/:
  agree  the tests marked `gpu`: devices agree, runs resume, no step waits for the GPU
  speed  images a second, memory, share of the peak and of a step's parts, beside plain PyTorch loops
  train  SimCLR with `resnet18` on the images of DIR for the time that is left, then the closing measurement
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import gpu_page, plain_loop
from benchmarks.harness import ROOT, compose_run, machine

KEPT = Path("outputs/benchmarks/gpu")
CLOSING = 110  # seconds that the closing measurement may take
RUN = 240  # seconds that `train` needs at least, where it comes after
SIDES = {"resnet18": 32, "resnet50": 224}  # pixels of a view


def main() -> int:
    """Run the parts that are named, and write the page of all that have been measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="agree, speed, train; by default all")
    parser.add_argument("--data", type=Path, required=True, help="a folder with {train,test}/<class>/*.jpg, 32x32")
    parser.add_argument("--data-name", default="images", help="what the page calls that folder")
    parser.add_argument("--seconds", type=float, default=480, help="that all parts may take together")
    parser.add_argument("--out", type=Path, help="the page; without it, results are only printed")
    parser.add_argument("--tiny", action="store_true", help="a few steps of small sizes: does the benchmark work?")
    parser.add_argument("--device", default="cuda", help="cpu: to see that the benchmark works, with --tiny")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    KEPT.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in options.parts or PARTS:
        began = time.monotonic()
        result = PARTS[name](options, until)
        result |= {"machine": machine(os.cpu_count()), "took": time.monotonic() - began, "data": options.data_name}
        (KEPT / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        failed |= bool(result.get("failed"))
    if options.out:
        kept = {name: json.loads(file.read_text()) for name in PARTS if (file := KEPT / f"{name}.json").exists()}
        options.out.write_text(gpu_page.render(kept))
    return int(failed)


def agree(options: argparse.Namespace, until: float) -> dict[str, Any]:
    """Run the tests marked ``gpu`` in processes of their own, and count them."""
    report = (KEPT / "agree.xml").absolute()
    workers = "2" if options.tiny else "4"  # each has its own context on the one GPU
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu", "-n", workers, "--tb=short", "-q"]
    command += [f"--junitxml={report}"] + (["-k", "simclr and not compiled"] if options.tiny else [])
    environment = {**os.environ, **({"SSL_TEST_DEVICE": "cpu"} if options.device == "cpu" else {})}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    return {"failed": done.returncode != 0, "counts": gpu_page.counts(report)}


def speed(options: argparse.Namespace, until: float) -> dict[str, Any]:
    """Measure the trainer's own step in its variants, and plain loops of the same model."""
    import torch

    result: dict[str, Any] = {"rows": [], "loops": []}
    until -= RUN if "train" in (options.parts or PARTS) and not options.tiny else 0
    if options.device == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        result["peak"] = peak(torch.device("cuda"))
        say(f"peak: {result['peak'] / 1e12:.0f} TFLOP/s in bf16 matrix products")
    for backbone, batch, *settings in TINY if options.tiny else VARIANTS:
        row = {"backbone": backbone, "batch": batch, "settings": settings}
        row |= attempt(
            until, lambda b=backbone, n=batch, s=settings: trainer_step(options, b, n, s, result.get("peak"))
        )
        say(json.dumps(row))
        result["rows"].append(row)
    for backbone, batch in [("resnet18", 16)] if options.tiny else [("resnet18", 512), ("resnet50", 256)]:
        for kind in ("v2 on the device", "v2 in workers"):
            row = {"backbone": backbone, "batch": batch, "kind": kind}
            row |= attempt(until, lambda b=backbone, n=batch, k=kind: plain_loop.measure(options, b, n, k, SIDES[b]))
            say(json.dumps(row))
            result["loops"].append(row)
    result["failed"] = any("error" in row for row in result["rows"])
    return result


# network, images a step, settings of the trainer
VARIANTS = [
    ("resnet18", 512, "trainer.compile=false"),
    ("resnet18", 512, "trainer.compile=true"),
    ("resnet18", 2048, "trainer.compile=false"),
    ("resnet18", 2048, "trainer.compile=true"),
    ("resnet18", 2048, "trainer.compile=false", "trainer.channels_last=false"),
    ("resnet50", 256, "trainer.compile=false"),
    ("resnet50", 256, "trainer.compile=true"),
    ("resnet50", 256, "trainer.compile=false", "trainer.channels_last=false"),
]
TINY = [("resnet18", 16, "trainer.compile=false")]


def attempt(until: float, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a measurement gives, or its error: the others are worth having."""
    import torch

    if time.monotonic() > until:
        return {"error": "not measured: no time was left"}
    try:
        return measure()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def trainer_step(
    options: argparse.Namespace, backbone: str, batch: int, settings: list[str], top: float | None
) -> dict[str, Any]:
    """Return speed, memory and parts of the trainer's step of SimCLR on images that are on the device already."""
    import torch

    from ssl_cli.runs.directory import ReadOnlyRunDir
    from ssl_cli.setup.prepare import prepare
    from ssl_cli.training import loop
    from ssl_cli.training.stopwatch import Stopwatch

    steps = 2 if options.tiny else 30 if backbone == "resnet18" else 10
    side, stem = SIDES[backbone], "cifar" if backbone == "resnet18" else "imagenet"
    images = f"dataset.num_images={max(3 * batch, 64)}"
    network = [f"backbone={backbone}", f"backbone.stem={stem}", "augment=simclr"]
    data = ["dataset=shapes", images, f"dataset.storage_size={side}"]
    run = ["method=simclr", "trainer.log_every=1000000", "trainer.eval_every=1000000", "trainer.max_steps=100000"]
    run += [f"trainer.batch_size={batch}", f"trainer.device={options.device}", *settings]
    began = time.monotonic()
    t = loop.begin(prepare(compose_run(*data, *network, *run)), ReadOnlyRunDir(Path()))
    device = t.e.device

    def seconds(count: int) -> float:
        wait(device)
        started = time.perf_counter()
        for _ in range(count):
            loop.train_step(t)
        wait(device)
        return (time.perf_counter() - started) / count

    seconds(1 if options.tiny else 8)
    warm = time.monotonic() - began
    measured = statistics.median(seconds(steps) for _ in range(3))
    t.watch = Stopwatch(device, exact=True)
    seconds(steps)
    total = sum(t.watch.seconds.values())
    row = {"seconds": measured, "images_per_second": batch / measured, "warm_up": warm}
    row["parts"] = {name: value / total for name, value in t.watch.seconds.items()}
    if device.type == "cuda":
        row["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        row["flops"] = flops(t)
        row["share_of_peak"] = row["flops"] / measured / top
    return row


def flops(t: Any) -> float:
    """Return the operations of products and convolutions in one step, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    from ssl_cli.training import loop

    with FlopCounterMode(display=False) as counter:  # outside `t.compiled`: a compiled network cannot be counted
        loop.gradients(t, t.e.loader.batch(t.state.step))
    t.e.optimizer.zero_grad(set_to_none=True)
    return counter.get_total_flops()


def peak(device: Any, side: int = 8192) -> float:
    """Return the operations a second of a large bf16 matrix product: the best of ten."""
    import torch

    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        wait(device)
        began = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def wait(device: Any) -> None:
    """Wait until the device has done all that it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def train(options: argparse.Namespace, until: float) -> dict[str, Any]:
    """Train SimCLR by the command that a user types, as long as there is time; keep kNN as it went, and the table."""
    run = (KEPT / "run").absolute()
    shutil.rmtree(run, ignore_errors=True)
    limit = 20 if options.tiny else max(30, int(until - time.monotonic() - CLOSING))
    command = [sys.executable, "-m", "ssl_cli", "train", "experiment=simclr_cifar10", "dataset=folder"]
    command += [f"dataset.root={options.data.absolute()}", f"hydra.run.dir={run}", "dataset.storage_size=32"]
    command += ["schedule.warmup=5%", "trainer.batch_size=512", f"trainer.device={options.device}"]
    if options.tiny:
        command += ["trainer.batch_size=16", "trainer.max_steps=2", "trainer.eval_every=1000"]
    else:
        # The schedule has to know its end: half the rate of the bare step is sure, the first pass is paid before.
        rate = json.loads((KEPT / "speed.json").read_text())["rows"][0].get("images_per_second", 5_000)
        epochs = max(5, int((limit - 40) * 0.5 * rate / 45_000))
        command += [f"trainer.epochs={epochs}", f"trainer.eval_every={max(1, epochs // 10)}"]
        command += ["trainer.compile=false"]  # with 512 small images a step the host is the limit
    began = time.monotonic()
    try:
        status = subprocess.run(command, cwd=ROOT, check=False, timeout=max(60, limit + CLOSING)).returncode
    except subprocess.TimeoutExpired:  # what is there by now is kept
        status = -1
    if not (run / "summary.json").exists():
        return {"failed": True, "summary": {}, "knn": [], "command": " ".join(command[3:]), "seconds": 0}
    summary = json.loads((run / "summary.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    knn = [(row["epoch"], row["val_knn"]) for row in rows if row.get("val_knn") is not None]
    return {
        "failed": status != 0,
        "command": " ".join(command[3:]).replace(str(run), "RUN").replace(str(options.data.absolute()), "DIR"),
        "seconds": time.monotonic() - began,
        "summary": {key: value for key, value in summary.items() if key not in ("pid", "host", "overrides")},
        "knn": knn,
    }


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


PARTS = {"agree": agree, "speed": speed, "train": train}

if __name__ == "__main__":
    sys.exit(main())
