"""Where output goes and files are: closed and full streams, no home, a run that cannot be written, marked configs."""

import codecs
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_cli.data.images.files import cache
from ssl_cli.errors import UserError

MAIN = "import sys; from ssl_cli.cli import main; sys.exit(main())"
PROGRESS = """
import os, sys
from ssl_cli import cli
from ssl_cli.system.terminal import Progress

def work(args):
    with Progress(2, every=0.0) as progress, open("file", "w") as file:
        progress.show(1, "half")
        progress.warn("a warning")
        print("printed", flush=True)
        os.write(1, b"of a library")
        file.write("mine")
    return 0

cli._dispatch = work
sys.exit(cli.main())
"""


def in_shell(cwd: Path, redirection: str, program: str, *args: str, **env: str) -> subprocess.CompletedProcess:
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-c", program, *args]
    path = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", **env}
    return subprocess.run(command, cwd=cwd, env=path, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("redirection", [">&-", "<&- >&- 2>&-"])
def test_what_goes_to_a_closed_output_goes_nowhere_and_no_file_gets_it(tmp_path, redirection):
    done = in_shell(tmp_path, redirection, PROGRESS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("env", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_full_output_is_one_line_and_a_status(tmp_path, env):
    done = in_shell(tmp_path, ">/dev/full", MAIN, "runs", ".", **env)
    assert (done.returncode, done.stderr) == (1, "error: cannot write the output: No space left on device\n")
    assert in_shell(tmp_path, "2>/dev/full", MAIN, "nothing", **env).returncode == 2


def test_without_a_home_the_cache_ends_with_the_process_and_a_download_needs_a_place(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    place = cache.user_cache_dir()
    assert place.is_dir() and place == cache.user_cache_dir()
    with pytest.raises(UserError, match="no home directory .* write dataset.root=DIR"):
        cache.user_cache_dir(lasting=True)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.user_cache_dir(lasting=True) == Path("/somewhere/ssl")


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained[0], tmp_path / "run", ignore=shutil.ignore_patterns("probes", "features"))


def test_a_probe_shows_what_it_cannot_keep_and_says_where_it_could(ssl, run):
    for name in ("probes", "features"):  # nobody, root neither, can write into a file
        (run / name).write_text("")
    outcome = ssl("probe", "ckpt=run", "probe=knn")
    assert outcome.status == 1 and "raw pixels" in outcome.out and "result:" not in outcome.out
    assert "the features are not kept" in outcome.out and "computed and kept" not in outcome.out
    assert "the result above is not kept: cannot make" in outcome.err and "hydra.run.dir=DIR" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_probe_enters_its_directory_where_hydra_is_told_so(ssl, run, tmp_path):
    package = tmp_path / "mine"
    package.mkdir()
    (package / "probe").mkdir()
    (package / "leaves_a_file.py").write_text(
        "from pathlib import Path\nfrom ssl_cli.probes.knn import KNN\n\n\nclass Leaves(KNN):\n"
        "    def run(self, features):\n        Path('left').touch()\n        return super().run(features)\n"
    )
    (package / "probe/leaves.yaml").write_text("_target_: leaves_a_file.Leaves\n")
    args = ["probe", "ckpt=run", "--config-dir", str(package), "probe=leaves", "hydra.job.chdir=true"]
    outcome = ssl(*args, PYTHONPATH=str(package))
    assert outcome.status == 0, outcome.err
    (left,) = run.glob("probes/*/left")
    assert {file.name for file in left.parent.iterdir()} == {"left", "config.yaml", "predictions.npz", "result.json"}
    assert not (ssl.cwd / "left").exists()
    assert ssl(*args, "hydra.run.dir=here", PYTHONPATH=str(package)).status == 0
    assert (ssl.cwd / "here/left").exists() and (ssl.cwd / "here/result.json").exists()


def test_a_config_with_a_mark_or_another_ending_is_named(ssl, tmp_path):
    (tmp_path / "mine/method").mkdir(parents=True)
    file = tmp_path / "mine/method/other.yml"
    file.write_text("defaults: [simclr, _self_]\ntemperature: 0.3\n")
    args = ("train", "--config-dir", "mine", "method=other", "--cfg", "job")
    outcome = ssl(*args, process="light")
    said = "error: mine/method/other.yml is not read, for its name must end in .yaml; rename it to other.yaml\n"
    assert (outcome.status, outcome.err) == (2, said)
    file.with_suffix(".yaml").write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    outcome = ssl(*args, process="light")
    said = "error: mine/method/other.yaml begins with a byte-order mark (BOM); save it as UTF-8 without BOM\n"
    assert (outcome.status, outcome.err) == (2, said)
    file.rename(file.with_suffix(".yaml"))
    outcome = ssl(*args, process="light")
    assert outcome.status == 0 and "temperature: 0.3" in outcome.out
