"""A file of video -> its frames at a steady rate: by PyAV, which brings FFmpeg."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_cli.errors import UserError

MISSING = "dataset=clips needs PyAV, which reads files of video: pip install 'ssl-cli[video]'"
ENDINGS = (
    *(".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv", ".y4m"),
)
UNEVEN = 1.5  # a file whose longest frame takes so many times as long as the median one has a variable rate
EPS = 2e-3  # seconds by which time stamps may be off: many files round them to thousandths


class BrokenVideo(Exception):
    """A file that cannot be used; the text says why."""


@dataclass
class Film:
    """What is known of a file once it has been decoded."""

    uneven: bool = False  # whether it has a variable frame rate
    turned: int = 0  # degrees, counter-clockwise, by which its frames had to be turned, as it says


def check_installed() -> None:
    """Raise ``UserError`` where PyAV is not there."""
    if importlib.util.find_spec("av") is None:
        raise UserError(MISSING)


def decode(file: Path, fps: float, size: int, channels: int, film: Film) -> Iterator[np.ndarray]:
    """Yield frames [C, size, size] uint8: at each moment ``k / fps`` the one that is seen then, by its time stamp.

    Frames are turned as the file says, resized so that the shorter side has ``size`` pixels, averaged over areas, and
    cut to the square in the middle.

    Args:
        file: of any format that FFmpeg reads.
        fps: frames a second of the result, whatever the rate of the file is.
        size: of its frames, in pixels.
        channels: 1 (grey) or 3 (RGB).
        film: is filled.

    Raises:
        BrokenVideo: it cannot be read, is empty, no video or damaged, or has sound alone or no frame.
    """
    import av

    try:
        with file.open("rb") as opened:
            empty = not opened.read(1)
    except OSError as error:
        raise BrokenVideo(f"it cannot be read ({error.strerror})") from error
    if empty:
        raise BrokenVideo("it is empty")
    times, before, made = [], None, 0
    try:
        with av.open(str(file), metadata_errors="ignore") as container:
            if not container.streams.video:
                raise BrokenVideo("it has sound alone" if container.streams.audio else "it has no video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate or 0) or 25.0
            for number, frame in enumerate(container.decode(stream)):
                if frame.is_corrupt:
                    raise BrokenVideo(f"it is damaged after {times[-1] - times[0] if times else 0:.1f} seconds")
                times.append(number / rate if frame.time is None else float(frame.time))
                while made / fps < times[-1] - times[0] - EPS:
                    yield _square(before, size, channels)
                    made += 1
                before = frame
            while times and made / fps <= times[-1] - times[0] + EPS:
                yield _square(before, size, channels)
                made += 1
    except (av.error.FFmpegError, OSError) as error:
        when = f" after {times[-1] - times[0]:.1f} seconds" if times else ""
        raise BrokenVideo(f"it is damaged{when} ({' '.join(str(error.strerror or error).split())})") from error
    if not times:
        raise BrokenVideo("it has no frame")
    steps = np.diff(times)
    film.uneven = len(steps) > 1 and float(steps.max()) > UNEVEN * float(np.median(steps))
    film.turned = _turn(before)


def _square(frame: Any, size: int, channels: int) -> np.ndarray:
    """Return the square in the middle of a frame [C, size, size] uint8, upright."""
    shape = (frame.height, frame.width)
    scale = size / min(shape)
    height, width = (max(size, round(scale * side)) for side in shape)
    format = "gray" if channels == 1 else "rgb24"
    pixels = frame.reformat(width, height, format=format, interpolation="AREA").to_ndarray()
    top, left = (height - size) // 2, (width - size) // 2
    square = pixels.reshape(height, width, channels)[top : top + size, left : left + size]
    return np.ascontiguousarray(np.rot90(square, _turn(frame) // 90).transpose(2, 0, 1))


def _turn(frame: Any) -> int:
    """Return by how many degrees a frame is to be turned counter-clockwise: 0, 90, 180 or 270."""
    return round(frame.rotation / 90) * 90 % 360
