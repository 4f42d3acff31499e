"""TensorBoard's event files of a run that is killed, goes back, and goes on: each step once, in the files, too."""

import io
from importlib.util import find_spec

import pytest
import tracked

from ssl_cli.training.trackers.background import Background
from ssl_cli.training.trackers.base import TrackedRun
from ssl_cli.training.trackers.tensorboard import TensorBoard, events

pytestmark = pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")

ROWS = [{"step": step, "loss": 1 / step} for step in range(1, 10)]


@pytest.fixture
def run(tmp_path):
    return TrackedRun(tmp_path, "abc", "run", None, {"seed": 3, "method": {"temperature": 0.2}})


def begun(run, rows, step, **settings):
    return Background("tensorboard", TensorBoard(dir=None, **settings), run, rows, step)


def killed(writer, directory, torn=b""):
    """Let a writer's thread end as a kill would: nothing is closed, and the last event is half written."""
    writer.tasks.put(None)
    writer.thread.join(10)
    with max(directory.glob("*tfevents*")).open("ab") as file:
        file.write(torn)


def picture():
    from PIL import Image

    png = io.BytesIO()
    Image.new("RGB", (5, 3)).save(png, "PNG")
    return png.getvalue()


def steps(series):
    return [step for step, _ in series]


def test_a_killed_run_has_each_step_once(run):
    place = run.path / "tensorboard"
    writer = begun(run, [], 0)
    for row in ROWS[:6]:
        writer.write(row)
    killed(writer, place, torn=b"\x20\x00\x00\x00\x00\x00\x00\x00half an event")
    writer = begun(run, ROWS[:4], 4)  # the last checkpoint was of step 4
    for row in ROWS[4:8]:
        writer.write({**row, "loss": 7.0})
    killed(writer, place, torn=bytes(100))
    writer = begun(run, ROWS[:8], 8)
    writer.write(ROWS[8])
    writer.close("finished")
    assert writer.complaint() is None
    expected = [(row["step"], 7.0 if 4 < row["step"] <= 8 else row["loss"]) for row in ROWS]
    for read in (tracked.tensorboard, tracked.shown_by_tensorboard):
        assert steps(read(place)["loss"]) == list(range(1, 10))
        assert dict(read(place)["loss"]) == pytest.approx(dict(expected))


def test_what_it_lacks_comes_from_the_rows_and_what_there_was_before_it(run):
    begun(run, ROWS[:5], 5).close("interrupted")
    writer = begun(run, ROWS[:7], 7)  # of step 6 and 7 nothing was written
    writer.write(ROWS[7])
    writer.close("finished")
    assert steps(tracked.tensorboard(run.path / "tensorboard")["loss"]) == list(range(1, 9))
    assert len(list((run.path / "tensorboard").iterdir())) == 2


def test_files_without_anything_in_them_do_not_stay(run):
    for _ in range(3):
        begun(run, [], 0).close("interrupted")
    for _ in range(3):
        begun(run, ROWS[:2], 2).close("interrupted")
    assert len(list((run.path / "tensorboard").iterdir())) == 2  # with the rows, and the one that is written


def test_going_back_forgets_the_steps_that_were_undone(run):
    writer = begun(run, [], 0)
    for row in ROWS[:6]:
        writer.write(row)
    writer.drop_after(4)
    writer.write(ROWS[7])
    writer.close("finished")
    assert steps(tracked.tensorboard(run.path / "tensorboard")["loss"]) == [1, 2, 3, 4, 8]


def test_pictures_the_table_and_the_config_are_shown(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer = begun(run, ROWS[:2], 2)
    writer.picture(2, "plots/reconstruction", picture())
    row = {"model": "simclr", "probe": "linear", "labels": "all", "metric": "accuracy", "mean": 0.5, "metrics": {}}
    writer.results(2, [row])
    writer.close("finished")
    assert writer.complaint() is None
    read = EventAccumulator(str(run.path / "tensorboard")).Reload()
    (image,) = read.Images("plots/reconstruction")
    assert (image.step, image.width, image.height, image.encoded_image_string) == (2, 5, 3, picture())
    texts = {tag: read.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in read.Tags()["tensors"]}
    assert "temperature: 0.2" in texts["config"] and "| simclr | linear | all |" in texts["results"]


def test_a_directory_of_several_runs_gets_one_for_each(run, tmp_path):
    for name in ("a", "b"):
        known = TrackedRun(tmp_path, name, "run", None, {})
        Background("tensorboard", TensorBoard(dir=str(tmp_path / "all")), known, ROWS, 9).close("finished")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["run-a", "run-b"]


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_file_that_ends_anywhere_is_read_up_to_its_last_whole_event(run, cut):
    begun(run, ROWS, 9).close("finished")
    (file,) = (run.path / "tensorboard").iterdir()
    whole, content = [end for _, end in events(file)], file.read_bytes()
    assert whole[-1] == len(content)
    file.write_bytes(content[: len(content) - cut])
    assert [end for _, end in events(file)] == [end for end in whole if end <= len(content) - cut]
