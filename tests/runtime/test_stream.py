from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from tests.fixtures.colour_blobs import BLOBS, draw_blobs

from prm_runtime.console import PrmError
from prm_runtime.instances import Instances
from prm_runtime.segmenter import Segmenter
from prm_runtime.stream import segment_stream

IMAGES = [draw_blobs(BLOBS[:n])[0] for n in (3, 0, 1, 2)]


def labels(frame: np.ndarray) -> Instances:
    """A quick stand-in where only the order of events matters: as many instances as the first pixel says."""
    return Instances.empty(("x",) * int(frame[0, 0, 0]), 1, 1)


def tiny(value: int) -> np.ndarray:
    return np.full((1, 1, 3), value, np.uint8)


async def keep(stream: AsyncIterator[tuple[Any, Instances]], found: list[int]) -> None:
    async for _, instances in stream:
        found.append(len(instances.classes))


async def collect(stream: AsyncIterator[tuple[Any, Instances]]) -> list[tuple[Any, Instances]]:
    return [pair async for pair in stream]


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
def test_each_frame_comes_with_its_instances(colour_segmenter: Segmenter, kind: str) -> None:
    async def camera() -> AsyncIterator[np.ndarray]:
        for image in IMAGES:
            await asyncio.sleep(0)
            yield image

    frames = camera() if kind == "asynchronous" else IMAGES
    pairs = asyncio.run(collect(colour_segmenter.segment_stream(frames)))
    assert len(pairs) == len(IMAGES)
    for (frame, found), image in zip(pairs, IMAGES, strict=True):
        assert frame is image
        expected = colour_segmenter(image)
        assert found.labels == expected.labels
        np.testing.assert_array_equal(found.masks, expected.masks)


def test_the_event_loop_runs_on_meanwhile() -> None:
    """A frame is only finished once the loop has ticked, so a blocked loop would never end."""
    ticks, enough = count(), threading.Event()

    def wait(frame: np.ndarray) -> Instances:
        assert enough.wait(30)
        return labels(frame)

    async def main() -> list[Any]:
        async def tick() -> None:
            while next(ticks) < 5:
                await asyncio.sleep(0)
            enough.set()

        ticking = asyncio.create_task(tick())
        pairs = await collect(segment_stream(wait, [tiny(1)], 1))
        await ticking
        return pairs

    assert len(asyncio.run(main())) == 1


def test_results_do_not_wait_for_the_next_frame() -> None:
    async def main() -> None:
        more = asyncio.Event()

        async def camera() -> AsyncIterator[np.ndarray]:
            yield tiny(1)
            await more.wait()  # set below, by what comes after the first result
            yield tiny(2)

        found = []
        async for _, instances in segment_stream(labels, camera(), 2):
            found.append(len(instances.classes))
            more.set()
        assert found == [1, 2]

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("ahead", [1, 3])
def test_a_fast_source_waits(ahead: int) -> None:
    read, handed_out = 0, 0

    async def camera() -> AsyncIterator[np.ndarray]:
        nonlocal read
        for n in range(10):
            read += 1
            assert read - handed_out <= ahead
            yield tiny(n)

    async def main() -> None:
        nonlocal handed_out
        async for _ in segment_stream(labels, camera(), ahead):
            for _ in range(20):
                await asyncio.sleep(0)  # a slow consumer, during which the source could run off
            handed_out += 1

    # what is handed out counts as soon as the consumer has it, one before the line above counts it
    handed_out = 1
    asyncio.run(main())
    assert read == 10


def test_an_error_of_the_source_comes_after_the_frames_before_it() -> None:
    def broken() -> Iterator[np.ndarray]:
        yield tiny(1)
        yield tiny(2)
        raise PrmError("the camera is gone")

    async def main() -> list[int]:
        found = []
        stream = segment_stream(labels, broken(), 4)
        with pytest.raises(PrmError, match="the camera is gone"):
            await keep(stream, found)
        return found

    assert asyncio.run(main()) == [1, 2]


def test_an_error_of_a_frame_ends_the_stream(colour_segmenter: Segmenter) -> None:
    async def main() -> None:
        with pytest.raises(PrmError, match="a frame must be RGB"):
            await collect(colour_segmenter.segment_stream([IMAGES[0], IMAGES[0][0], IMAGES[0]]))
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_leaving_early_stops_the_reading_and_the_worker() -> None:
    read = 0

    async def endless() -> AsyncIterator[np.ndarray]:
        nonlocal read
        for n in count():
            read += 1
            yield tiny(n % 7)

    async def main() -> None:
        stream = segment_stream(labels, endless(), 3)
        await anext(stream)
        await stream.aclose()
        assert len(asyncio.all_tasks()) == 1
        before = read
        await asyncio.sleep(0.01)
        assert read == before <= 4

    asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name.startswith("segment-stream"):
            thread.join(30)
            assert not thread.is_alive()


def test_nothing_ahead_is_refused(colour_segmenter: Segmenter) -> None:
    with pytest.raises(PrmError, match="ahead must be at least 1, got 0"):
        asyncio.run(collect(colour_segmenter.segment_stream(IMAGES, ahead=0)))
