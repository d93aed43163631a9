"""Faults in the middle of a run: what was written is kept, the rest goes on, and a message says why."""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.media import moving_blobs, write_lossless_video, write_png

from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError
from prm_runtime.inference import MAX_FAILURES
from prm_runtime.pipeline import Summary, run_pipeline
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result, Sink
from prm_runtime.sources import Source, SourceState, open_source


class Collected:
    """A sink that keeps results."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def write(self, result: Result) -> None:
        self.results.append(result)

    def close(self) -> None:
        pass

    @property
    def frames(self) -> list[tuple[str, int]]:
        return [(Path(result.frame.source).stem, result.frame.index) for result in self.results]


class FailingBackend:
    """ONNX Runtime, whose runs of the forward graph fail when told to."""

    description = "fails"
    concurrent = False
    threads = None
    in_work = 1

    def __init__(self, fails: Callable[[int], bool]) -> None:
        self._backend = create_backend("onnxruntime")
        self._fails = fails
        self._runs = 0

    def compile(self, model: bytes, *use: Any) -> Any:
        graph = self._backend.compile(model, *use)
        outer = self

        class Failing:
            def run(self, inputs: Any) -> Any:
                if "image" in inputs:
                    outer._runs += 1
                    if outer._fails(outer._runs - 1):
                        raise RuntimeError("CUDA error: an illegal memory access was encountered")
                return graph.run(inputs)

        return Failing()


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    return [
        write_lossless_video(tmp_path / f"{name}.mkv", moving_blobs(16), Fraction(25)) for name in ("a", "b")
    ]


def run(segmenter: Segmenter, sources: Sequence[Source], *sinks: Sink, on_result: Any = None) -> Summary:
    on_result = on_result or (lambda _: None)
    return run_pipeline(segmenter, sources, sinks, should_stop=lambda: False, on_result=on_result)


def test_a_frame_on_which_the_engine_fails_is_counted_and_the_rest_goes_on(
    colour_bundle: Path, clips: list[Path]
) -> None:
    segmenter = Segmenter(Bundle.open(colour_bundle), FailingBackend(lambda n: n == 3))
    source, sink = open_source(str(clips[0])), Collected()
    summary = run(segmenter, [source], sink)
    assert sink.frames == [("a", n) for n in range(16) if n != 3]
    assert (summary.frames, summary.failed, source.status.skipped) == (15, 1, 1)
    assert source.problems == [
        f"{clips[0]} frame 3: RuntimeError: CUDA error: an illegal memory access was encountered"
    ]


def test_a_source_that_always_fails_ends_alone(
    colour_bundle: Path, tmp_path: Path, clips: list[Path]
) -> None:
    sizes = {"small": (64, 64), "large": (128, 128)}
    sources = [
        open_source(
            str(
                write_lossless_video(
                    tmp_path / f"{name}.mkv", [np.full((*size, 3), 90, np.uint8)] * 16, Fraction(25)
                )
            )
        )
        for name, size in sizes.items()
    ]
    segmenter = Segmenter.open(colour_bundle)
    evidences = segmenter.evidences

    def out_of_memory(frames: Any, *names: Any, **options: Any) -> Any:
        if any(len(frame) > 64 for frame in frames):
            raise MemoryError("Failed to allocate 9 GiB")
        return evidences(frames, *names, **options)

    segmenter.evidences = out_of_memory  # type: ignore[method-assign]
    sink = Collected()
    summary = run(segmenter, sources, sink)
    assert sink.frames == [("small", n) for n in range(16)]
    assert summary.failed == MAX_FAILURES
    (problem,) = summary.problems
    assert "large.mkv: given up after 10 failures" in problem
    assert "out of memory (Failed to allocate 9 GiB)" in problem
    assert sources[1].status.state is SourceState.ENDED


def test_an_engine_that_fails_on_every_frame_is_an_error(colour_bundle: Path, clips: list[Path]) -> None:
    segmenter = Segmenter(Bundle.open(colour_bundle), FailingBackend(lambda _: True))
    with pytest.raises(PrmError, match="CUDA error"):
        run(segmenter, [open_source(str(clips[0]))])


def test_a_source_that_is_missing_does_not_keep_the_others(colour_bundle: Path, clips: list[Path]) -> None:
    sink = Collected()
    camera = open_source("97")
    summary = run(Segmenter.open(colour_bundle), [camera, open_source(str(clips[0]))], sink)
    assert len(sink.frames) == 16
    assert summary.problems == ["camera 97: cannot be opened; is it plugged in, and free of other programs?"]


def test_a_model_file_that_is_replaced_does_not_matter_to_the_run(
    colour_bundle: Path, tmp_path: Path, clips: list[Path]
) -> None:
    bundle = tmp_path / "model.prm"
    bundle.write_bytes(colour_bundle.read_bytes())

    def labels(replace: bool) -> list[list[str]]:
        sink = Collected()
        segmenter = Segmenter.open(bundle)
        on_result = (lambda _: bundle.write_bytes(b"another model")) if replace else None
        run(segmenter, [open_source(str(clips[0]))], sink, on_result=on_result)
        return [result.instances.labels for result in sink.results]

    before = labels(replace=False)
    assert len(before) == 16
    assert labels(replace=True) == before


def limited(arguments: Sequence[object], limit: int, bytes_: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        preexec_fn=lambda: resource.setrlimit(limit, (bytes_, bytes_)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_full_disk_costs_one_file_and_not_what_is_in_it(
    colour_bundle: Path, tmp_path: Path, clips: list[Path]
) -> None:
    lines, video = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (128, 160, 3), dtype=np.uint8) for _ in range(60)]
    clip = write_lossless_video(tmp_path / "noise.mkv", noise, Fraction(25))
    arguments = [clip, "--model", colour_bundle, "--save-json", lines, "--save-video", video]
    finished = limited(["-m", "prm_runtime", *arguments], resource.RLIMIT_FSIZE, 200_000)
    assert finished.returncode == 3, finished.stderr
    assert f"failed: {video}: File too large; what was written before is kept" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert [json.loads(line)["frame"] for line in lines.read_text().splitlines()] == list(range(60))
    with av.open(str(video)) as container:
        assert 2 < sum(1 for _ in container.decode(video=0)) < 60


def test_a_full_disk_takes_no_half_line(prm_run: Any, colour_bundle: Path, clips: list[Path]) -> None:
    result = prm_run(clips[0], "--model", colour_bundle, "--save-json", "/dev/full")
    assert result.code == 1
    error = result.err.strip().splitlines()[-1]
    assert error == "error: /dev/full: No space left on device; what was written before is kept"


def write_huge_png(path: Path, side: int) -> Path:
    """Black pixels of one bit each: small as a file, and large once decoded."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side), 1)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path


MEMORY_SCRIPT = """
import resource, sys
from pathlib import Path
from prm_runtime.pipeline import run_pipeline
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import open_source
segmenter = Segmenter.open(sys.argv[1])
for frame in open_source(sys.argv[3]):
    segmenter(frame.image)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000,) * 2)
sources = [open_source(name) for name in sys.argv[2:]]
done = []
summary = run_pipeline(segmenter, sources, [], should_stop=lambda: False,
                       on_result=lambda result: done.append(result.frame.source))
print(done == [sys.argv[3]], summary.problems, [source.problems for source in sources])
"""


def test_a_stream_that_has_no_memory_ends_alone(colour_bundle: Path, tmp_path: Path) -> None:
    huge = write_huge_png(tmp_path / "huge.png", 24_000)
    small = write_png(tmp_path / "small.png", draw_blobs()[0])
    finished = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT, str(colour_bundle), str(huge), str(small)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("True"), finished.stdout
    assert "memory" in finished.stdout
