"""The pipeline's threads: several sources, order, and how it stops."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.media import moving_blobs, write_lossless_video, write_png

from prm_runtime.channel import Channel, Closed
from prm_runtime.inference import streams_for
from prm_runtime.instances import Instances
from prm_runtime.latency import Latency
from prm_runtime.pipeline import run_pipeline
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result
from prm_runtime.sources import Frame, open_source, open_sources

GO_ON = {"should_stop": lambda: False, "on_result": lambda _: None}


class Kept:
    def __init__(self) -> None:
        self.results: list[Result] = []
        self.is_closed = False

    def write(self, result: Result) -> None:
        self.results.append(result)

    def close(self) -> None:
        self.is_closed = True


def left_behind(before: set[threading.Thread]) -> list[str]:
    """Threads that were begun since and go on, but for those that a segmenter keeps for its next frame."""
    begun = set(threading.enumerate()) - before
    return [thread.name for thread in begun if not thread.name.startswith("proposals")]


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{name}.mkv" for name in "ab"]
    return [str(write_lossless_video(path, moving_blobs(8), Fraction(25))) for path in paths]


def test_several_sources_give_what_each_gives_alone(colour_segmenter: Segmenter, clips: list[str]) -> None:
    sink = Kept()
    summary = run_pipeline(colour_segmenter, open_sources(clips), [sink], **GO_ON)
    assert (summary.frames, summary.failed, summary.problems) == (16, 0, [])
    for clip in clips:
        found = [result for result in sink.results if result.frame.source == clip]
        assert [result.frame.index for result in found] == list(range(8))
        for result, image in zip(found, moving_blobs(8), strict=True):
            expected = colour_segmenter(image)
            np.testing.assert_array_equal(result.instances.masks, expected.masks)
            assert result.evidence is not None
            assert len(result.evidence.peaks) >= len(expected)


@pytest.mark.parametrize(("overlap", "live", "most"), [(True, False, 2), (True, True, 1), (False, False, 1)])
def test_a_file_has_two_frames_in_work_and_a_camera_one(
    colour_bundle: Path,
    clips: list[str],
    monkeypatch: pytest.MonkeyPatch,
    overlap: bool,
    live: bool,
    most: int,
) -> None:
    segmenter = Segmenter.open(colour_bundle, threads=None if overlap else 1)
    (source,) = open_sources(clips[:1])
    monkeypatch.setattr(source, "is_live", live)
    evidences, lock = segmenter.evidences, threading.Lock()
    in_work: list[int] = [0]
    seen: list[int] = []

    def slowly(*arguments: Any, **options: Any) -> Any:
        with lock:
            in_work[0] += 1
            seen.append(in_work[0])
        time.sleep(0.05)  # as an engine that does not need the interpreter
        found = list(evidences(*arguments, **options))
        with lock:
            in_work[0] -= 1
        return iter(found)

    monkeypatch.setattr(segmenter, "evidences", slowly)
    sink = Kept()
    run_pipeline(segmenter, source, [sink], **GO_ON)
    assert max(seen) == most
    indices = [result.frame.index for result in sink.results]
    assert indices == (sorted(indices) if live else list(range(8)))


def test_transforms_see_every_frame_in_order(colour_segmenter: Segmenter, clips: list[str]) -> None:
    seen: list[int] = []

    def number(frame: Frame, instances: Instances) -> Instances:
        seen.append(frame.index)
        return instances

    def drop(_: Frame, instances: Instances) -> Instances:
        return instances.select([])

    sink = Kept()
    run_pipeline(colour_segmenter, open_sources(clips[:1]), [sink], transforms=[number, drop], **GO_ON)
    assert seen == list(range(8))
    assert all(len(result.instances) == 0 for result in sink.results)


def test_stopping_closes_the_sinks_and_leaves_no_thread(
    colour_segmenter: Segmenter, clips: list[str]
) -> None:
    before = set(threading.enumerate())
    sink = Kept()
    summary = run_pipeline(
        colour_segmenter,
        open_sources(clips),
        [sink],
        should_stop=lambda: len(sink.results) >= 3,
        on_result=lambda _: None,
    )
    assert summary.frames == len(sink.results) == 3
    assert sink.is_closed
    assert not left_behind(before)


def test_an_error_of_the_caller_closes_everything_too(colour_segmenter: Segmenter, clips: list[str]) -> None:
    before = set(threading.enumerate())
    sink = Kept()

    def fail(_: Result) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_pipeline(colour_segmenter, open_sources(clips), [sink], should_stop=lambda: False, on_result=fail)
    assert sink.is_closed
    assert not left_behind(before)


def test_several_sources_make_a_video_each(
    prm_run: Any, colour_bundle: Path, clips: list[str], tmp_path: Path
) -> None:
    picture = write_png(tmp_path / "blobs.png", draw_blobs()[0])
    out = tmp_path / "out" / "all.mp4"
    result = prm_run(*clips, picture, "--model", colour_bundle, "--save-video", out)
    assert result.code == 0, result.err
    counts = {}
    for path in out.parent.iterdir():
        with av.open(str(path)) as container:
            counts[path.name] = sum(1 for _ in container.decode(video=0))
    assert counts == {"all_a.mp4": 8, "all_b.mp4": 8, "all_pictures.mp4": 1}
    assert f"{clips[0]}: ended, 8 frames" in result.err


def test_the_same_source_twice_is_refused(prm_run: Any, colour_bundle: Path, clips: list[str]) -> None:
    result = prm_run(clips[0], clips[0], "--model", colour_bundle)
    assert result.code == 1
    assert "given twice" in result.err


def test_a_channel_wakes_whoever_waits_when_it_is_closed() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1)
    ended: list[str] = []

    def put() -> None:
        try:
            channel.put(2)
        except Closed:
            ended.append("put")

    waiter = threading.Thread(target=put)
    waiter.start()
    time.sleep(0.05)
    channel.close()
    waiter.join(10)
    assert ended == ["put"]
    assert channel.get(1) == 1
    with pytest.raises(Closed):
        channel.get(1)


def test_latency_keeps_the_worst_of_all_and_the_last_thousand() -> None:
    latency = Latency()
    assert latency.percentile_s(50) == 0
    latency.add(9.0)
    for _ in range(2000):
        latency.add(0.5)
    assert (latency.worst_s, latency.percentile_s(99), len(latency)) == (9.0, 0.5, 1000)


def test_files_are_segmented_in_streams_and_what_may_be_live_is_not() -> None:
    clip, camera = open_source("demo/bikes.mp4"), open_source("rtsp://127.0.0.1:9/camera")
    assert streams_for([clip], None) == streams_for([clip, clip], 2) == 2
    assert streams_for([clip], 1) == 1  # there is nothing to share out
    assert streams_for([clip, camera], None) == 1
