"""Raw frames through standard input."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.media import moving_blobs

from prm_runtime.sources import SourceError, open_source
from prm_runtime.sources.pipe import RawFormat, RawPipe


def pipe_with(content: bytes) -> io.FileIO:
    """A real pipe, which hands out 64 KiB at a time."""
    reader, writer = os.pipe()

    def feed() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(content)

    threading.Thread(target=feed, daemon=True).start()
    return io.FileIO(reader)


@pytest.mark.parametrize("pixels", ["rgb24", "bgr24"])
def test_every_frame_comes_whole_and_in_order(pixels: str) -> None:
    frames = moving_blobs(4)
    height, width = frames[0].shape[:2]
    written = [frame if pixels == "rgb24" else frame[..., ::-1] for frame in frames]
    content = b"".join(frame.tobytes() for frame in written)
    source = RawPipe(RawFormat(width, height, pixels), pipe_with(content))  # type: ignore[arg-type]
    read = list(source)
    assert [frame.index for frame in read] == [0, 1, 2, 3]
    for frame, original in zip(read, frames, strict=True):
        np.testing.assert_array_equal(frame.image, original)
    assert source.problems == []


def test_a_frame_that_is_cut_off_is_named_and_left_out() -> None:
    source = RawPipe(RawFormat(4, 2), pipe_with(bytes(24 + 10)))
    assert len(list(source)) == 1
    assert source.problems == ["standard input: ends with 10 bytes where a frame of 4 x 2 has 24"]
    with pytest.raises(SourceError, match="0 bytes where a frame of 4 x 2 has 24"):
        list(RawPipe(RawFormat(4, 2), pipe_with(b"")))


@pytest.mark.parametrize("size", ["640", "640x", "0x480", "axb", "640x480x3", "-1x2"])
def test_sizes_that_are_none(size: str) -> None:
    with pytest.raises(SourceError, match="expected WIDTHxHEIGHT"):
        RawFormat.parse(size, "rgb24")


def test_a_pipe_without_a_size_is_refused() -> None:
    with pytest.raises(SourceError, match="add --stdin-size"):
        open_source("-")


def test_prm_run_on_a_pipe(colour_bundle: Path, tmp_path: Path) -> None:
    image, _ = draw_blobs()
    lines = tmp_path / "out.jsonl"
    size = f"{image.shape[1]}x{image.shape[0]}"
    arguments = ["-", "--stdin-size", size, "--stdin-format", "bgr24", "--model", colour_bundle]
    finished = subprocess.run(
        [sys.executable, "-m", "prm_runtime", *map(str, arguments), "--save-json", str(lines)],
        input=image[..., ::-1].tobytes() * 2,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(record["source"], record["frame"], len(record["instances"])) for record in records] == [
        ("-", 0, 3),
        ("-", 1, 3),
    ]
