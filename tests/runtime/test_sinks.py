from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from tests.fixtures.colour_blobs import draw_blobs

from prm_runtime.instances import Instances
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import JsonLines, Overlays, PrmHeatMaps, Result, SinkError, VideoFile, Window
from prm_runtime.sinks.video import fit
from prm_runtime.sources import Frame
from prm_runtime.timing import StageTimes


def plain_result(
    size: tuple[int, int], index: int = 0, time_s: float | None = None, source: str = "clip.mp4"
) -> Result:
    image = np.full((*size, 3), (index * 10, 120, 200), np.uint8)
    return Result(Frame(image, source, index, time_s), Instances.empty(("cat",), *size), StageTimes())


@pytest.fixture(scope="module")
def blob_result(colour_segmenter: Segmenter) -> Result:
    image, _ = draw_blobs()
    return Result(Frame(image, "dir/blobs.png", 0, None), colour_segmenter(image), StageTimes())


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(10)])
@pytest.mark.parametrize("size", [(90, 120), (91, 121)])
def test_video_plays_with_rate_size_and_count_of_the_source(
    tmp_path: Path, fps: Fraction, size: tuple[int, int]
) -> None:
    path = tmp_path / "new" / "out.mp4"
    sink = VideoFile(str(path), fps)
    for n in range(12):
        sink.write(plain_result(size, n, float(n / fps)))
    sink.close()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"
        assert stream.average_rate == fps
        assert (stream.height, stream.width) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
        assert container.duration == pytest.approx(float(12 / fps) * 1e6, rel=1e-3)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 12
    for n, frame in enumerate(frames):
        np.testing.assert_allclose(frame.reshape(-1, 3).mean(axis=0), (n * 10, 120, 200), atol=6)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # a browser can start before it has everything


def test_video_keeps_uneven_time_stamps(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 1.0]
    sink = VideoFile(str(tmp_path / "out.mp4"), Fraction(25))
    for n, time_s in enumerate(times):
        sink.write(plain_result((64, 64), n, time_s))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        np.testing.assert_allclose([frame.time for frame in container.decode(video=0)], times, atol=1e-3)


def test_pictures_of_different_sizes_make_one_video(tmp_path: Path) -> None:
    sink = VideoFile(str(tmp_path / "out.mp4"), None)
    for n, size in enumerate([(60, 80), (80, 60), (600, 800)]):
        sink.write(plain_result(size, n, source=f"{n}.png"))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.duration == 3_000_000
    assert [frame.shape for frame in frames] == [(60, 80, 3)] * 3
    assert frames[1][:, :10].mean() < 30  # upright in the middle of black


def test_fit_keeps_pixels_in_place_for_odd_sizes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fit(image, (6, 8))[:5, :7], image)


def test_a_video_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    VideoFile(str(tmp_path / "out.mp4"), None).close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out.txt", "out", "out.webm"])
def test_a_file_that_cannot_hold_h264_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SinkError, match=r"cannot write H\.264"):
        VideoFile(str(tmp_path / name), Fraction(25))


def test_json_lines_are_flushed_per_frame(tmp_path: Path, blob_result: Result) -> None:
    path = tmp_path / "new" / "out.jsonl"
    sink = JsonLines(str(path))
    for count in (1, 2):
        sink.write(blob_result)
        lines = path.read_text().splitlines()
        assert len(lines) == count
        assert len(json.loads(lines[-1])["instances"]) == 3
    sink.close()


def test_overlays(tmp_path: Path, blob_result: Result) -> None:
    sink = Overlays(str(tmp_path))
    sink.write(blob_result)
    sink.write(plain_result((20, 30), 7, 0.3, "a/clip.mp4"))
    sink.write(plain_result((20, 30), source="other/blobs.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs-2.jpg", "blobs.jpg", "clip_000007.jpg"]
    written = cv2.imread(str(tmp_path / "blobs.jpg"))[..., ::-1]
    assert np.abs(written.astype(int) - blob_result.overlay).mean() < 4


def test_prm_heat_maps_glow_at_their_instance(tmp_path: Path, blob_result: Result) -> None:
    PrmHeatMaps(str(tmp_path)).write(blob_result)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"blobs_{n}_{label}.jpg" for n, label in enumerate(blob_result.instances.labels)]
    for n, name in enumerate(names):
        heat = cv2.imread(str(tmp_path / name))[..., 2]
        mask = blob_result.instances.masks[n]
        assert heat[mask].mean() > heat[~mask].mean() + 60


def test_show_without_a_display_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(SinkError, match="needs a display"):
        Window(hold=False)
