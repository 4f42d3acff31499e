"""MLflow: a server, or files in MLflow's own layout, by the client of ``mlflow-skinny`` or ``mlflow``."""

import contextlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from ssl_cli.config.elsewhere import is_address
from ssl_cli.config.overrides import flat
from ssl_cli.system.atomic import replace
from ssl_cli.training.trackers.base import Row, TrackedRun, Tracker, kept_files, markdown, require

ID = "ssl.id"  # the tag by which a run is found again; MLflow's own id is MLflow's to choose
STATES = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
METRICS, PARAMETERS, LENGTH = 1000, 100, 500  # of a call, at most; characters of a parameter
ENVIRONMENT = {
    "MLFLOW_ALLOW_FILE_STORE": "true",  # else MLflow asks for a database
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds
}


class MLflow(Tracker):
    """A run of MLflow: numbers, the config as parameters, pictures, the final table and the run's directory as files.

    MLflow forgets nothing: steps that are done again keep the numbers that they had first.

    Args:
        uri: of a server, or a directory; None: ``MLFLOW_TRACKING_URI`` of the environment, else ``RUN/mlruns``.
        experiment: that the run is listed in.
        files: keep a copy of the run's directory.
    """

    def __init__(self, *, uri: str | None, experiment: str, files: bool):
        require("mlflow", "mlflow")
        self.uri, self.experiment, self.files = uri, experiment, files

    def open(self, run: TrackedRun, step: int) -> dict[str, int]:
        """Find the run, or create it."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        for name in ("mlflow", "urllib3"):  # an exception tells what is wrong
            logging.getLogger(name).setLevel(logging.CRITICAL)
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self.run = run
        place = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or str(run.path / "mlruns")
        own = None if self.uri or "MLFLOW_TRACKING_URI" in os.environ else Path(place)
        if own:
            prepare(own, run.id)
        self.client = MlflowClient(place if is_address(place) else Path(place).absolute().as_uri())
        with contextlib.nullcontext() if own or is_address(place) else one_at_a_time(Path(place)):
            self.id = self._found_or_created()
        known = self.client.get_run(self.id)
        new = [Param(k, str(v)[:LENGTH]) for k, v in flat(run.config).items() if k not in known.data.params]
        for at in range(0, len(new), PARAMETERS):
            self.client.log_batch(self.id, params=new[at : at + PARAMETERS])
        self.client.update_run(self.id, status="RUNNING")
        names = known.data.metrics
        return {name: max(m.step for m in self.client.get_metric_history(self.id, name)) for name in names}

    def write(self, rows: Sequence[Row]) -> None:
        """Log the numbers."""
        from mlflow.entities import Metric

        metrics = [Metric(k, v, int(1000 * row.time), row.step) for row in rows for k, v in row.values.items()]
        for at in range(0, len(metrics), METRICS):
            self.client.log_batch(self.id, metrics=metrics[at : at + METRICS])

    def picture(self, step: int, name: str, png: bytes) -> None:
        """Keep a picture as ``NAME/STEP.png``."""
        with tempfile.TemporaryDirectory(prefix="ssl-") as scratch:
            file = Path(scratch, f"{step:08}.png")
            file.write_bytes(png)
            self.client.log_artifact(self.id, str(file), name)

    def results(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the final table as ``results.md``."""
        self.client.log_text(self.id, markdown(rows), "results.md")

    def close(self, state: str) -> None:
        """Keep the run's directory as ``run/``, and end."""
        if state == "finished" and self.files:
            for file, name in kept_files(self.run.path):
                self._keep(file, f"run/{name}")
        self.client.set_terminated(self.id, STATES[state])

    def _found_or_created(self) -> str:
        experiment = self.client.get_experiment_by_name(self.experiment)
        at = experiment.experiment_id if experiment else self.client.create_experiment(self.experiment)
        if found := self.client.search_runs([at], f"tags.`{ID}` = '{self.run.id}'"):
            return found[0].info.run_id
        tags = {ID: self.run.id, "ssl.directory": str(self.run.path)}  # the first is written first
        tags |= {"ssl.sweep": self.run.group} if self.run.group else {}
        return self.client.create_run(at, tags=tags, run_name=self.run.name).info.run_id

    def _keep(self, file: Path, name: str) -> None:
        """Copy a file to the artifacts; a checkpoint, which is large and never changes, is linked if that can be."""
        place = self.client.get_run(self.id).info.artifact_uri
        if name.endswith(".pt") and place.startswith("file:"):
            target = Path(url2pathname(urlparse(place).path), name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # another file system
                target.hardlink_to(file)
                return
        self.client.log_artifact(self.id, str(file), name.rpartition("/")[0])


def prepare(store: Path, run: str) -> None:
    """Make the files in a run's own directory fit to go on with.

    What a kill has left before the run had its tag is removed. If the directory was moved, its files mean their own
    place again, not the one where they were made.
    """
    if all(tag.read_text() != run for tag in store.glob(f"*/*/tags/{ID}")):
        shutil.rmtree(store, ignore_errors=True)
    for file in (*store.glob("*/meta.yaml"), *store.glob("*/*/meta.yaml")):
        uri = {"artifact_location": file.parent.as_uri(), "artifact_uri": (file.parent / "artifacts").as_uri()}
        text = file.read_text(encoding="utf-8")
        moved = re.sub(r"^(artifact_\w+): .*$", lambda found, uri=uri: f"{found[1]}: {uri[found[1]]}", text, flags=re.M)
        if moved != text:
            replace(file, moved.encode())


def one_at_a_time(store: Path) -> Any:
    """Return a lock for a directory of several runs: two that begin together would both create the experiment."""
    from filelock import FileLock

    store.mkdir(parents=True, exist_ok=True)
    return FileLock(store / ".lock")
