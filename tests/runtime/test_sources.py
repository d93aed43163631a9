from __future__ import annotations

import threading
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.codec.hwaccel import hwdevices_available
from tests.fixtures.media import moving_blobs, write_h264_video, write_lossless_video, write_png

from prm_runtime.sources import SourceError, SourceOptions, open_source
from prm_runtime.sources.uri import without_credentials
from prm_runtime.sources.video import THREADED

IDENTITY = np.array([[1 << 16, 0, 0], [0, 1 << 16, 0], [0, 0, 1 << 30]], ">i4")
QUARTER_TURN = np.array([[0, 1 << 16, 0], [-(1 << 16), 0, 0], [0, 0, 1 << 30]], ">i4")  # clockwise


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, image in zip(("b.png", "a.png", "c.PNG"), moving_blobs(3), strict=True):
        write_png(folder / name.lower(), image).rename(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_a_picture(pictures: Path) -> None:
    source = open_source(str(pictures / "b.png"))
    (frame,) = source
    assert (source.fps, source.length) == (None, 1)
    assert (frame.source, frame.index, frame.time_s) == (str(pictures / "b.png"), 0, None)
    np.testing.assert_array_equal(frame.image, moving_blobs(1)[0])


def test_a_picture_is_turned_as_its_exif_data_say(tmp_path: Path) -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    plain = cv2.imencode(".jpg", image)[1].tobytes()
    orientation_6 = bytes.fromhex("ffe100224578696600004d4d002a00000008000101120003000000010006000000000000")
    (tmp_path / "turned.jpg").write_bytes(plain[:2] + orientation_6 + plain[2:])
    (frame,) = open_source(str(tmp_path / "turned.jpg"))
    assert frame.image.shape == (30, 20, 3)


@pytest.mark.parametrize("pattern", ["", "/*", "/../**/*.[pP][nN][gG]"])
def test_folders_and_globs_give_pictures_by_name(pictures: Path, pattern: str) -> None:
    source = open_source(f"{pictures}{pattern}")
    assert source.length == 3
    assert [Path(frame.source).name for frame in source] == ["a.png", "b.png", "c.PNG"]


def test_an_unreadable_picture_in_a_folder_is_skipped(pictures: Path) -> None:
    (pictures / "b.png").write_bytes(b"no picture")
    source = open_source(str(pictures))
    assert [Path(frame.source).name for frame in source] == ["a.png", "c.PNG"]
    assert source.problems == [f"{pictures / 'b.png'}: cannot be decoded; it is damaged or not a picture"]


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"no picture", "cannot be decoded")])
def test_an_unreadable_picture_alone_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        list(open_source(str(tmp_path / "bad.jpg")))


def test_a_folder_in_which_nothing_is_readable_is_an_error(pictures: Path) -> None:
    for path in pictures.iterdir():
        path.write_bytes(b"x")
    with pytest.raises(SourceError, match="cannot be decoded"):
        list(open_source(str(pictures)))


def test_missing_sources(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for location, message in [
        (tmp_path / "none.jpg", "no such file"),
        (tmp_path / "empty", "no pictures in this folder"),
        (tmp_path / "*.jpg", "matches no picture"),
    ]:
        with pytest.raises(SourceError, match=message):
            open_source(str(location))


def test_a_missing_camera() -> None:
    with pytest.raises(SourceError, match="camera 97: cannot be opened"):
        list(open_source("97"))


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_a_video(tmp_path: Path, fps: Fraction) -> None:
    frames = moving_blobs(5)
    path = write_lossless_video(tmp_path / "clip.mkv", frames, fps)
    source = open_source(str(path))
    assert source.fps == pytest.approx(fps, rel=1e-3)
    decoded = list(source)
    assert [frame.index for frame in decoded] == [0, 1, 2, 3, 4]
    assert {frame.source for frame in decoded} == {str(path)}
    np.testing.assert_allclose([frame.time_s for frame in decoded], np.arange(5) / float(fps), atol=2e-3)
    for frame, original in zip(decoded, frames, strict=True):
        np.testing.assert_array_equal(frame.image, original)


def test_frames_too_large_for_one_thread_are_the_same(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 256, (1200, 2048, 3), np.uint8) for _ in range(4)]
    assert frames[0].size / 3 > THREADED
    path = write_lossless_video(tmp_path / "large.mkv", frames, Fraction(25))
    decoded = [frame.image for frame in open_source(str(path))]
    assert len(decoded) == len(frames)
    for found, expected in zip(decoded, frames, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_decoder_that_this_computer_lacks_leaves_the_work_to_software(tmp_path: Path) -> None:
    path = write_h264_video(tmp_path / "clip.mp4", moving_blobs(3), Fraction(25))
    usual = [frame.image for frame in open_source(str(path))]
    for decoder in ("auto", *hwdevices_available()):
        frames = list(open_source(str(path), SourceOptions(decoder=decoder)))
        assert len(frames) == 3
        for frame, image in zip(frames, usual, strict=True):
            assert np.abs(frame.image.astype(int) - image).max() <= 2
    with pytest.raises(SourceError, match="--decoder abacus: expected software, auto or one of"):
        open_source(str(path), SourceOptions(decoder="abacus"))


def test_a_sideways_video_is_turned_upright(tmp_path: Path) -> None:
    frame = np.zeros((64, 96, 3), np.uint8)
    frame[:, :48] = 255  # left half white
    path = write_h264_video(tmp_path / "clip.mp4", [frame] * 3, Fraction(25))
    content = path.read_bytes()
    tkhd = content.index(b"tkhd")
    before, after = content[:tkhd], content[tkhd:]
    assert IDENTITY.tobytes() in after
    path.write_bytes(before + after.replace(IDENTITY.tobytes(), QUARTER_TURN.tobytes(), 1))
    decoded = next(iter(open_source(str(path)))).image
    assert decoded.shape == (96, 64, 3)
    assert decoded[:40].mean() > 240  # what was left is up after a clockwise quarter turn
    assert decoded[56:].mean() < 15


@pytest.mark.parametrize("content", [b"", b"no video", bytes(5000)])
def test_a_file_that_is_no_video(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(SourceError, match="damaged or not a video"):
        open_source(str(tmp_path / "clip.mp4"))


def test_a_video_that_lost_its_end_gives_what_is_left(tmp_path: Path) -> None:
    path = write_lossless_video(tmp_path / "clip.mkv", moving_blobs(10), Fraction(25))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    source = open_source(str(path))
    assert 3 <= len(list(source)) <= 6


def test_damage_inside_a_video_is_skipped_and_reported(tmp_path: Path) -> None:
    path = write_h264_video(tmp_path / "clip.mp4", moving_blobs(12), Fraction(25))
    with av.open(str(path)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    content[positions[5] : positions[5] + 4] = b"\xff" * 4  # the length of the packet's first unit
    path.write_bytes(content)
    source = open_source(str(path))
    assert len(list(source)) == 11
    (problem,) = source.problems
    assert problem.startswith(f"{path}: damaged near packet")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(SourceError, match="holds no video track"):
        open_source(str(tmp_path / "sound.wav"))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("rtsp://admin:se%40cret@cam:554/live", "rtsp://cam:554/live"),
        ("rtsp://user:p@ss@cam/live", "rtsp://cam/live"),
        ("http://cam/v?password=secret&id=3", "http://cam/v?password=%2A%2A%2A&id=3"),
        ("http://[fe80::1]:80/v", "http://[fe80::1]:80/v"),
    ],
)
def test_credentials_are_taken_out(uri: str, expected: str) -> None:
    assert without_credentials(uri) == expected


def test_a_stream_that_cannot_be_reached_is_named_without_its_password() -> None:
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/live: cannot be reached") as caught:
        list(open_source("http://admin:secret@127.0.0.1:9/live"))
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_stream_over_http(tmp_path: Path) -> None:
    frames = moving_blobs(3)
    write_lossless_video(tmp_path / "clip.mkv", frames, Fraction(25))
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}/clip.mkv"
        decoded = list(open_source(f"http://user:secret@{address}"))
        server.shutdown()
    assert {frame.source for frame in decoded} == {f"http://{address}"}
    for frame, original in zip(decoded, frames, strict=True):
        np.testing.assert_array_equal(frame.image, original)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass
