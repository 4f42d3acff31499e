"""Small files of video for tests: frame k is grey, 8 k bright, with a white upper left corner."""

from fractions import Fraction
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 48, 32


def picture(brightness: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    pixels = np.full((height, width, 3), brightness, np.uint8)
    pixels[: height // 2, : height // 2] = 255
    return pixels


def write(file: Path, times: list[float], width: int = WIDTH, height: int = HEIGHT) -> Path:
    """Write a file whose frame k is shown at ``times[k]`` seconds."""
    import av

    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=1000)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.bit_rate = 4_000_000
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(8 * number % 200, width, height), format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def steady(file: Path, seconds: float, rate: float = 16.0) -> Path:
    return write(file, [k / rate for k in range(round(seconds * rate))])


def sound(file: Path) -> Path:
    import av

    with av.open(str(file), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file


def turned_clockwise(file: Path) -> Path:
    """Write into the header of an MP4 file that it is to be shown turned by 90 degrees clockwise, as phones do."""
    content = bytearray(file.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    numbers = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    content[matrix : matrix + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    file.write_bytes(content)
    return file
