"""The wheel: built, installed in an environment that knows nothing of this checkout, used from another directory."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent


def run(*args, **kwargs):
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}  # where this checkout may stand
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True, timeout=300, env=env, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_brings_its_configs_and_runs_anywhere(tmp_path):
    dist, clean, elsewhere = (tmp_path / name for name in ("dist", "clean", "elsewhere"))
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip"]
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", dist, cwd=ROOT)  # pip calls the same
    (wheel,) = dist.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {str(f.relative_to(ROOT)) for f in (ROOT / "conf").rglob("*.yaml")}
    assert {f"ssl_cli/{name}" for name in shipped} | {"ssl_cli/report/page.css", "ssl_cli/report/page.js"} <= names
    templates = {str(f.relative_to(ROOT)) for f in (ROOT / "ssl_cli").rglob("*.html")}
    assert {"ssl_cli/report/templates/run.html", "ssl_cli/compare/templates/table.html"} <= templates <= names
    assert not any(name.startswith(("tests", "outputs", "conf/")) for name in names)

    venv.create(clean, with_pip=False)
    python = clean / ("Scripts" if os.name == "nt" else "bin") / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    run(*pip, "install", "-q", "--no-deps", "--no-index", "--target", packages, wheel)
    # What it depends on is borrowed from here (a plain path line: this checkout's editable install is not followed).
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(python, "-c", "import ssl_cli; print(ssl_cli.__file__)", cwd=elsewhere)
    assert str(packages) in where
    quick = [
        "trainer.max_steps=1",
        "trainer.batch_size=16",
        "backbone.widths=[4,8]",
        "~probes.linear",
        "~probes.propagate",
    ]
    out = run(python, "-m", "ssl_cli", "train", "method=simclr", *quick, cwd=elsewhere)
    assert "simclr" in out and len(list(elsewhere.glob("outputs/*/*/summary.json"))) == 1
    assert "resnet18" in run(python, "-m", "ssl_cli", "train", "--help", cwd=elsewhere)
