"""A disk that is full, small, read-only or broken: the run says so, and what had been saved is whole and goes on.

The whole figure, 20 cases: pytest -m "slow or not slow" tests/survival/test_disk.py
"""

import contextlib
import ctypes
import errno
import os
import resource
import shutil
from pathlib import Path

import pytest
from forks import arguments, assert_same_end
from warm import command, finish

from ssl_cli.runs import checkpoint

KB = 1 << 10
NEW_USER, NEW_MOUNTS, RECURSIVE, PRIVATE, READ_ONLY, REMOUNT = 0x10000000, 0x20000, 0x4000, 0x40000, 1, 32

# How writing fails, from the second save of `last.pt` on (a checkpoint of this run has some 660 KB).
LIMITS = [
    2 * KB,
    10 * KB,
    100 * KB,
    300 * KB,
    500 * KB,
    640 * KB,
]  # the largest file that the system lets this process write
DISKS = [800 * KB, 1000 * KB, 1500 * KB, 2200 * KB]  # the whole disk
CALLS = [  # the call that fails, from which time on, with what error
    ("os.fsync", 1, errno.EIO),
    ("os.fsync", 2, errno.ENOSPC),
    ("pathlib.Path.replace", 1, errno.EIO),
    ("pathlib.Path.replace", 2, errno.EDQUOT),
    ("pathlib.Path.replace", 3, errno.EIO),
    ("os.fsync", 3, errno.EIO),
    ("pathlib.Path.open", 1, errno.EROFS),
    ("stream.write", 1, errno.ENOSPC),
    ("stream.write", 20, errno.EIO),
    ("stream.write", 3, errno.ENOSPC),  # and here, on the thread of large checkpoints
]
CASES = [*(("limit", n) for n in LIMITS), *(("disk", n) for n in DISKS), *(("call", i) for i in range(len(CALLS)))]
SHORT = [("disk", 1500 * KB), ("call", 2)]


def from_the_second_save(then):
    """Call ``then`` when ``last.pt`` is about to be saved for the second time."""
    real, saves = checkpoint.save, []

    def save(file, *args):
        saves.append(file.name)
        if saves.count("last.pt") == 2 and file.name == "last.pt":
            then()
        return real(file, *args)

    checkpoint.save = save


def limit(size):
    from_the_second_save(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)))


def fail(index):
    name, number, code = CALLS[index]
    module, _, attribute = name.rpartition(".")
    calls = []

    def failing(real):
        def call(*args, **kwargs):
            calls.append(1)
            if len(calls) >= number and (attribute != "open" or "x" in str(args[1:])):
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        return call

    def begin():
        if module == "stream":
            real = checkpoint.torch.save
            checkpoint.torch.save = lambda content, writer: real(content, spoiled(writer))
        else:
            owner = {"os": os, "pathlib.Path": Path}[module]
            setattr(owner, attribute, failing(getattr(owner, attribute)))

    def spoiled(writer):
        stream = writer.stream
        writer.stream = type("Stream", (), {"write": staticmethod(failing(stream.write)), "flush": stream.flush})
        return writer

    if index == len(CALLS) - 1:
        from ssl_cli.training import saver

        saver.LARGE = 0
    from_the_second_save(begin)


def mount(directory, size):
    """Give this process, and nobody else, a disk of its own.

    Raises:
        OSError: the system does not let it.
    """
    libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    calls = [
        lambda: libc.unshare(NEW_USER | NEW_MOUNTS),
        lambda: Path("/proc/self/setgroups").write_text("deny") and 0,
        lambda: Path("/proc/self/uid_map").write_text(f"0 {user} 1") and 0,
        lambda: Path("/proc/self/gid_map").write_text(f"0 {group} 1") and 0,
        lambda: libc.mount(b"none", b"/", None, RECURSIVE | PRIVATE, None),
        lambda: libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, b"size=%d" % size),
    ]
    for call in calls:
        if call():
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def on_a_small_disk(cwd, size, method):
    """Train on a disk that is too small, and leave a copy of the run where there is room."""
    mount(cwd / "disk", size)
    end = os._exit

    def leave(status):
        os._exit = end
        shutil.copytree(cwd / "disk/run", cwd / "run")
        end(status)

    os._exit = leave
    command([*arguments(method)[:-1], "hydra.run.dir=disk/run"], cwd)


def on_a_disk_that_turns_read_only(cwd, argv):
    mount(cwd / "disk", 100 << 20)
    shutil.copytree(cwd / "run", cwd / "disk/run")
    ctypes.CDLL(None).mount(b"tmpfs", os.fsencode(cwd / "disk"), b"tmpfs", READ_ONLY | REMOUNT, None)
    command(argv, cwd)


def can_mount(directory):
    with contextlib.suppress(OSError):
        mount(directory, 1 << 20)
        os._exit(0)
    os._exit(1)


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    if finish(can_mount, tmp_path / "disk"):
        pytest.skip("this system lets nobody mount a disk of his own (user namespaces)")


@pytest.mark.parametrize(
    "kind, value", [pytest.param(*case, marks=[] if case in SHORT else pytest.mark.slow) for case in CASES]
)
def test_a_save_that_fails_costs_nothing_that_was_saved(straight, tmp_path, request, kind, value):
    expected = straight("moco")
    if kind == "disk":
        request.getfixturevalue("disk")
        status = finish(on_a_small_disk, tmp_path, value, "moco")
    else:
        status = finish(command, arguments("moco"), tmp_path, limit if kind == "limit" else fail, value)
    err = (tmp_path / "err").read_text()
    assert status == 1 and "Traceback" not in err, err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert line.startswith(("error: cannot save run/", "error: cannot save disk/run/", "error: cannot write to")), line
    if "cannot save" in line:
        assert "MB are free there; the last.pt before it is whole" in line or "best.pt" in line
    saved = sorted((tmp_path / "run/checkpoints").glob("*.pt"))
    steps = {file.name: checkpoint.load(file)["progress"]["step"] for file in saved}  # each of them is sound
    assert steps["last.pt"] >= 4
    assert finish(command, ["train", "resume=run"], tmp_path) == 0, (tmp_path / "err").read_text()
    assert_same_end(tmp_path / "run", expected)
    assert not list((tmp_path / "run").rglob(".*"))


def test_a_run_on_a_read_only_disk_is_read_but_not_gone_on_with(tmp_path, disk):
    assert finish(command, [*arguments("moco"), "trainer.epochs=1"], tmp_path) == 0
    for argv, status, words in (
        (["train", "resume=disk/run", "trainer.epochs=2"], 2, "error: cannot write to disk/run: Read-only file system"),
        (
            [*arguments("moco")[:-1], "hydra.run.dir=disk/new"],
            2,
            "error: cannot make the run directory: Read-only",
        ),
        (["check", "disk/run"], 0, None),
    ):
        (tmp_path / "err").unlink(missing_ok=True)
        assert finish(on_a_disk_that_turns_read_only, tmp_path, argv) == status, (tmp_path / "err").read_text()
        assert words is None or words in (tmp_path / "err").read_text()
    assert "all is well" in (tmp_path / "out").read_text()


def remove_run():
    from ssl_cli.training import loop

    real, steps = loop.accumulation_parts, []

    def parts(*args):
        steps.append(1)
        if len(steps) == 6:
            shutil.rmtree("run")
        return real(*args)

    loop.accumulation_parts = parts


def test_a_run_directory_that_is_removed_is_said(tmp_path):
    assert finish(command, arguments("moco"), tmp_path, remove_run) == 1
    assert (tmp_path / "err").read_text() == "error: run is gone: it was removed or moved away during the run\n"
    assert not (tmp_path / "run").exists()
