"""The checkpoints of a run. A thread writes large ones while training goes on."""

import re
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from ssl_cli.distributed.group import wait_for_first
from ssl_cli.errors import RunError, UserError
from ssl_cli.runs import checkpoint
from ssl_cli.runs.directory import RunDir
from ssl_cli.setup.prepare import Experiment
from ssl_cli.setup.restore import START

LARGE = 64 << 20  # bytes of tensors; less is written in a fraction of a second


class Saver:
    """Write ``last.pt`` (and keep the one before as ``previous.pt``), ``best.pt`` and ``epoch-N.pt`` of a run.

    A context: at its end nothing is under way any more. An error of a write in the background is raised by the next
    `save`, or at the end; where something else has ended training, it is logged.
    """

    def __init__(self, e: Experiment, run: RunDir):
        self.e, self.run = e, run
        self.described = {**contents(e), "env": run.env}
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.pending: Future | None = None

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.pool.shutdown(wait=True)
        if kind is None:
            self.wait()
        elif self.pending is not None and (error := self.pending.exception()):
            self.run.log(str(error))

    def save(self, name: str, done: Any, epoch: int | None = None) -> None:
        """Save the state of training as ``name`` (``last`` or ``best``), and also as that of ``epoch``, to be kept.

        Raises:
            RunError: the weights are not numbers, or this write or the one before failed.
        """
        method, optimizer = self.e.method, self.e.optimizer
        if not all(p.isfinite().all() for p in method.parameters()):
            raise RunError(f"the weights are not finite at step {done.step}; {self.last_good()}")
        state = {"model": method.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(done)}
        self.wait()
        if checkpoint.size(state) < LARGE:
            self._write(name, state, epoch)
        else:
            self.pending = self.pool.submit(self._write, name, _copied(state), epoch)

    def save_as_given(self, done: Any) -> None:
        """Save the network before any step: as the best so far, as the last where no step follows, else as `START`."""
        name = START if self.e.total_steps else "last"
        self.save(name, done)
        self.wait()
        checkpoint.keep(self.run.checkpoint_file(name), self.run.checkpoint_file("best"))
        if not any(p.requires_grad for p in self.e.method.backbone.parameters()):  # what is measured will not change
            checkpoint.remove(self.run.checkpoint_file(START))

    def wait(self) -> None:
        """Wait for the write in the background; raise its error."""
        pending, self.pending = self.pending, None
        if pending is not None:
            pending.result()

    def roll_back(self) -> int:
        """Give method and optimizer, on all ranks, the state of the last checkpoint; return its step.

        Raises:
            RunError: there is none.
        """
        self.wait()
        wait_for_first()
        try:
            _, state, _ = checkpoint.newest_sound(self.run.checkpoint_file().parent)
        except UserError as error:
            raise RunError(f"cannot roll back: {error}") from error
        restore(self.e, state)
        return state["progress"]["step"]

    def last_good(self) -> str:
        """Return a sentence that names the last good checkpoint."""
        kept = self.run.checkpoint_file("last")
        return f"the last good checkpoint is {kept}" if kept.exists() else "no checkpoint had been written yet"

    def _write(self, name: str, state: dict[str, Any], epoch: int | None) -> None:
        file = self.run.checkpoint_file(name)
        previous = self.run.checkpoint_file("previous") if name == "last" else None
        checkpoint.save(file, {**self.described, **state}, previous)
        if epoch is not None:
            checkpoint.keep(file, self.run.checkpoint_file(f"epoch-{epoch:04}"))
            if self.e.config.trainer.keep_last:
                for old in kept(file.parent)[: -self.e.config.trainer.keep_last]:
                    checkpoint.remove(old)


def restore(e: Experiment, state: Mapping[str, Any]) -> None:
    """Give method and optimizer the state of a checkpoint, whole.

    Raises:
        UserError: it is of another model; the message names the first key that differs.
    """
    groups = [len(group["params"]) for group in state["optimizer"]["param_groups"]]
    checkpoint.load_weights(e.method, state["model"], "the checkpoint")
    if groups != [len(group["params"]) for group in e.optimizer.param_groups]:
        raise UserError("the checkpoint's optimizer does not fit this run: it has other groups of parameters")
    e.optimizer.load_state_dict(state["optimizer"])


def kept(directory: Path) -> list[Path]:
    """Return the ``epoch-N.pt`` of a directory, oldest first."""
    numbered = {int(m[1]): file for file in directory.iterdir() if (m := re.fullmatch(r"epoch-(\d+)\.pt", file.name))}
    return [numbered[epoch] for epoch in sorted(numbered)]


def _copied(node: Any) -> Any:
    """Copy every tensor of nested containers to memory that training does not touch."""
    if isinstance(node, Tensor):
        return node.detach().to("cpu", copy=True)
    if isinstance(node, Mapping):
        return {key: _copied(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_copied(value) for value in node)
    return node


def contents(e: Experiment) -> dict[str, Any]:
    """Return the parts of a checkpoint that rebuild the model: the config, the facts about the data and the weights."""
    config = {**OmegaConf.to_container(e.config, resolve=True), "tracker": None}  # who looks on is not what it is
    origin = e.method.backbone.origin
    known = {"weights": origin.to_dict()} if origin is not None else {}
    return {"config": config, "data": e.info.to_dict(), **known}
