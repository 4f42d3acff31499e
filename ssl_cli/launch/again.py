"""Go on with a job that had begun before."""

from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from ssl_cli.launch import place
from ssl_cli.runs.directory import RunDir
from ssl_cli.runs.job import Job


def going_on(job: Job) -> tuple[Job, bool]:
    """Return the job, to be gone on with where it had begun before; and whether it is finished already.

    It had where a sweep is started again in the same directory, and where torchrun or Slurm start a run again.
    """
    if job.resume:
        return job, False
    target = Path(job.target)
    found = next((run for run in earlier_runs(job, target) if OmegaConf.to_container(run.config) == job.config), None)
    if found is None:
        if job.again and (target / "summary.json").is_file() and not (target / "config.yaml").is_file():
            (target / "summary.json").unlink()  # of a job that had failed before it had a run
        if job.chosen:
            RunDir.check_free(target)
        return job, False
    if found.summary.get("state") == "finished":
        print(f"{found.path} is finished; nothing to do")
        return job, True
    print(f"going on with {found.path}")
    return replace(job, target=str(found.path), resume=True), False


def earlier_runs(job: Job, target: Path) -> list[RunDir]:
    """Return the runs that may be an earlier attempt at the same job, the newest first."""
    if job.again:
        return [RunDir(target)] if (target / "config.yaml").is_file() else []
    if (launched := place.launch_id()) is None:
        return []
    files = [target / "env.json", *Path("outputs").glob("*/*/env.json")]
    runs = [RunDir(file.parent) for file in files if file.is_file() and (file.parent / "config.yaml").is_file()]
    same = [run for run in runs if run.env.get("launch") == launched]
    return sorted(same, key=lambda run: (run.path / "config.yaml").stat().st_mtime, reverse=True)
