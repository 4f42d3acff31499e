"""``ssl check``: is a run whole, and does it resume exactly? Changes nothing in it."""

import contextlib
import copy
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ssl_cli.commands.parser import Parser, trusted_modules
from ssl_cli.config.stored import blaming_config, check_targets, stored_config
from ssl_cli.errors import RunError, UserError, one_line
from ssl_cli.runs.catalog import read_json
from ssl_cli.runs.directory import RunDir
from ssl_cli.runs.lock import holder_lives, read_holder

HELP = """\
usage: ssl check RUN ['trusted_modules=[MODULE]']

  RUN          a run directory, or `last`

Looks at the config (does it build?), every checkpoint (is it whole, by its sha256?), metrics.jsonl (can every row be
read, is none doubled?) and the data (are they those of the run?); then goes on from the newest checkpoint for two
steps, twice, in a temporary directory, and compares the results bit by bit. The run itself is not changed.

Exit status: 0 all is well, 1 something is not, 2 there is no such run.
"""
STEPS = 2


def main(args: Sequence[str]) -> int:
    """Print a line for each thing that was looked at. Returns the exit status."""
    parser = Parser("check", HELP)
    parser.add_argument("words", nargs="*", metavar="RUN")
    words = parser.parse_args(args).words
    names = [word for word in words if "=" not in word]
    trusted = trusted_modules([word for word in words if "=" in word])
    if len(names) != 1 or trusted is None:
        parser.error("write ssl check RUN with a run directory, or `last`")
    run = RunDir.open(names[0], "run")
    print(f"{run.path}:", flush=True)
    problems = 0
    checks: list[Callable[[], str]] = [
        lambda: f"the summary says: {run.summary.get('state') or _no('there is none that can be read')}",
        lambda: metrics(run),
        *(lambda file=file: sound(file) for file in sorted((run.path / "checkpoints").glob("*.pt"))),
        lambda: resumes(run, trusted),
    ]
    if holder_lives(run.path):
        print(f"  note     it is in use by process {read_holder(run.path).get('pid')}: what follows may change")
    for look in checks:
        try:
            print(f"  ok       {look()}", flush=True)
        except (UserError, RunError) as error:
            problems += 1
            print(f"  PROBLEM  {one_line(error)}", flush=True)
    print(f"{problems} problems" if problems > 1 else "1 problem" if problems else "all is well")
    return 1 if problems else 0


def metrics(run: RunDir) -> str:
    """Read every row of ``metrics.jsonl``."""
    file = run.path / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    steps: dict[str, list[int]] = {"loss": [], "val_knn": []}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            for kind, seen in steps.items():
                if kind in row:
                    seen.append(int(row["step"]))
        except (ValueError, KeyError, TypeError):
            _no(f"metrics.jsonl: row {number} of {len(lines)} cannot be read (resuming the run drops it)")
    for seen in steps.values():
        if seen != sorted(set(seen)):
            _no("metrics.jsonl: a step is there twice, or before an earlier one")
    return f"metrics.jsonl: {len(lines)} rows, to step {max(sum(steps.values(), []), default=0)}, none doubled"


def sound(file: Path) -> str:
    """Load one checkpoint."""
    from ssl_cli.runs import checkpoint

    step = checkpoint.load(file)["progress"]["step"]
    proof = "sha256 as written" if checkpoint.sums_of(file).is_file() else "CRC as written; it has no .sha256"
    return f"checkpoints/{file.name}: step {step}, {proof}"


def resumes(run: RunDir, trusted: list[str]) -> str:
    """Build the config, and go on for a few steps, twice."""
    import torch

    from ssl_cli.runs import checkpoint
    from ssl_cli.setup.prepare import prepare

    file = run.path / "config.yaml"
    config = stored_config(OmegaConf.to_container(run.config), file, trusted)
    _, state, _ = checkpoint.newest_sound(run.path / "checkpoints")
    check_targets(state["config"], trusted)
    step = state["progress"]["step"]
    ends, kept = [], read_json(run.path / "labels.json")
    for _ in range(2):
        with blaming_config(file):
            experiment = prepare(_for_steps(config), resuming=True, kept=kept)
        if changed := experiment.info.differing(state["data"]):
            _no(f"the data are not those of the run any more: {', '.join(changed)} changed")
        try:
            ends.append(_state_after(experiment, copy.deepcopy(state)))
        except Exception as error:  # whatever it is: that the run cannot go on is what was asked
            _no(f"going on from step {step} fails with {type(error).__name__}: {error}")
    different = [key for key, value in ends[0].items() if not torch.equal(value, ends[1][key])]
    if ends[0].keys() != ends[1].keys() or different and experiment.device.type == "cpu":
        _no(f"going on twice from step {step} gives two results: {(different or ['the keys'])[0]} differs")
    if different:
        return f"resumes from step {step}; twice is not bit for bit the same on {experiment.device}, as usual there"
    return f"resumes: {STEPS} steps from step {step}, twice, are bitwise equal in {len(ends[0])} tensors"


def _for_steps(config: DictConfig) -> DictConfig:
    """Return the config of a run that is far from its end, at its full learning rate, and has nothing to show."""
    config = config.copy()
    far = {"max_steps": 1_000_000_000, "eval_every": 1_000_000_000, "profile": False}
    OmegaConf.update(config, "trainer", far)
    config.schedule = {"_target_": "ssl_cli.optim.schedule.Constant", "warmup": "0"}
    return config


def _state_after(experiment: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Train a few steps from a checkpoint, in a directory that vanishes; return every tensor by its path."""
    from ssl_cli.runs import checkpoint
    from ssl_cli.training.loop import fit

    class Few:
        asked = 0

        @property
        def requested(self) -> bool:
            self.asked += 1
            return self.asked >= STEPS

    with tempfile.TemporaryDirectory(prefix="ssl-check-") as name:
        run = RunDir.create(Path(name) / "run", experiment.config, chosen_by_user=True)
        with contextlib.redirect_stdout(io.StringIO()):
            fit(experiment, run, state, Few())
        end = checkpoint.load(run.checkpoint_file())
    return dict(_named({"model": end["model"], "optimizer": end["optimizer"]}))


def _named(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if hasattr(node, "dtype"):
        yield prefix, node
    elif isinstance(node, (dict, list, tuple)):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _named(child, f"{prefix}.{key}" if prefix else str(key))


def _no(problem: str) -> Any:
    raise UserError(problem)
