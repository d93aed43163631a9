"""What a process that is killed leaves behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from contextlib import suppress
from pathlib import Path

import av
from av.error import InvalidDataError
from tests.fixtures.endless_results import write_for_ever

TIMES = 20
PAGE = os.sysconf("SC_PAGE_SIZE")


def test_kill_9_at_any_moment_leaves_whole_lines_and_a_video_that_plays(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fixtures.endless_results"])
    chance = random.Random(0)  # noqa: S311
    for n in range(TIMES):
        folder = tmp_path / str(n)
        folder.mkdir()
        lines, video = folder / "out.jsonl", folder / "out.mp4"
        writer = context.Process(target=write_for_ever, args=(str(folder),), daemon=True)
        writer.start()
        deadline = time.monotonic() + 60
        while not (video.exists() and video.stat().st_size > 50_000):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        writer.kill()
        writer.join()
        *whole, cut = lines.read_text().split("\n")
        assert not cut or len(lines.read_bytes()) % PAGE == 0  # the kernel stopped between two pages
        frames = [json.loads(line)["frame"] for line in whole]
        assert frames == list(range(len(frames)))
        shown = _times(video)
        assert 1 <= len(shown) <= len(frames)
        assert shown == [index / 25 for index in range(len(shown))]


def _times(video: Path) -> list[float]:
    """When each picture of a video is shown; only the last packet may be cut."""
    with av.open(str(video)) as container:
        *whole, last, flush = container.demux(video=0)
        times = [picture.time for packet in whole for picture in packet.decode()]
        with suppress(InvalidDataError):
            times += [picture.time for picture in last.decode()]
        return times + [picture.time for picture in flush.decode()]
