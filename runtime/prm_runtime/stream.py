"""Frames that arrive while others are worked on, for programs with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from prm_runtime.errors import PrmError
from prm_runtime.host_frame import FrameT
from prm_runtime.instances import Instances


async def segment_stream(
    segment: Callable[[FrameT], Instances], frames: AsyncIterable[FrameT] | Iterable[FrameT], ahead: int
) -> AsyncIterator[tuple[FrameT, Instances]]:
    """See :meth:`prm_runtime.segmenter.Segmenter.segment_stream`, whose instances ``segment`` finds."""
    if ahead < 1:
        raise PrmError(f"ahead must be at least 1, got {ahead}")
    loop = asyncio.get_running_loop()
    source = frames if isinstance(frames, AsyncIterable) else _read_in_thread(frames)
    worker = ThreadPoolExecutor(1, "segment-stream")
    room = asyncio.Semaphore(ahead)
    results: asyncio.Queue[tuple[FrameT, asyncio.Future[Instances]] | None] = asyncio.Queue()

    async def read() -> None:
        try:
            await room.acquire()
            async for frame in source:
                results.put_nowait((frame, loop.run_in_executor(worker, segment, frame)))
                await room.acquire()
        finally:
            results.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while (result := await results.get()) is not None:
            frame, instances = result
            found = await instances
            room.release()
            yield frame, found
        await reader  # what went wrong with the source comes after the frames before it
    finally:
        reader.cancel()
        worker.shutdown(wait=False, cancel_futures=True)
        waiting = [results.get_nowait() for _ in range(results.qsize())]
        left = [result[1] for result in waiting if result is not None]
        await asyncio.gather(reader, *left, return_exceptions=True)


async def _read_in_thread(frames: Iterable[FrameT]) -> AsyncIterator[FrameT]:
    iterator, end = iter(frames), object()
    while (frame := await asyncio.to_thread(next, iterator, end)) is not end:
        yield frame  # type: ignore[misc]  # not the end
