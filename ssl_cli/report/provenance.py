"""Where a run comes from: the command that repeats it, the code, the machine, the config."""

import shlex

from ssl_cli.report import page
from ssl_cli.report.read import RunFiles


def once_more(run: RunFiles) -> str:
    """Return what it takes to repeat a run, as HTML."""
    parts, env = [], run.env
    if line := command(run):
        parts.append(f"<p>To repeat the run:</p>\n{page.code(line)}")
    else:
        parts.append(page.missing(["How the run was started is unknown: there is no env.json."]))
    if git := env.get("git"):
        changed = ", with changes that were not committed" if git.get("changed") else ""
        parts.append(f"<p>Code: commit <code>{page.text(git.get('commit', 'unknown'))}</code>{changed}.</p>")
    if env:
        packages = ", ".join(f"{name} {version}" for name, version in (env.get("packages") or {}).items())
        known = [f"ssl {env.get('ssl', '?')}, Python {env.get('python', '?')}, {packages}"]
        known += [
            f"{env.get('platform', 'unknown system')}, {env.get('cpus', '?')} CPUs, device {env.get('device', '?')}"
        ]
        known += [f"in {env['directory']}"] if "directory" in env else []
        parts.append(page.bullets(known))
    if run.config_text:
        parts.append(page.fold("The whole config", page.code(run.config_text)))
    return "\n".join(parts)


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
