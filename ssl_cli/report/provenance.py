"""Where a run comes from: the command that repeats it, the code, the machine, the config."""

import shlex
from dataclasses import dataclass

from ssl_cli.report.read import RunFiles


@dataclass
class Origin:
    """What it takes to repeat a run; texts are empty where they are not known."""

    command: str
    commit: str
    changed: bool  # the code, since that commit
    machine: list[str]  # packages, system and directory, a line each
    config: str  # the whole of it, as YAML


def origin(run: RunFiles) -> Origin:
    """Return what it takes to repeat a run."""
    env, git = run.env, run.env.get("git") or {}
    machine = []
    if env:
        packages = ", ".join(f"{name} {version}" for name, version in (env.get("packages") or {}).items())
        machine.append(f"ssl {env.get('ssl', '?')}, Python {env.get('python', '?')}, {packages}")
        system = env.get("platform", "unknown system")
        machine.append(f"{system}, {env.get('cpus', '?')} CPUs, device {env.get('device', '?')}")
    if "directory" in env:
        machine.append(f"in {env['directory']}")
    commit = git.get("commit", "unknown") if git else ""
    return Origin(command(run), commit, bool(git.get("changed")), machine, run.config_text)


def command(run: RunFiles) -> str:
    """Return the one command that repeats a run: as it was typed, without the directory that is now in use.

    Of a job of a sweep it is that job's own overrides.
    """
    try:
        words = shlex.split(run.env.get("command", ""))
    except ValueError:
        return ""
    if "-m" in words or "--multirun" in words:
        configs = ("--config-dir", "-cd")
        kept = [
            word
            for before, word in zip(["", *words], words, strict=False)
            if before in configs or word.split("=")[0] in configs
        ]
        words = ["ssl", "train", *kept, *map(str, run.summary.get("overrides", []))]
    return shlex.join(word for word in words if not word.startswith(("hydra.run.dir=", "hydra.sweep.")))
