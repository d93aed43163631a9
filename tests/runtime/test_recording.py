"""Image topics of MCAP recordings, written as ROS 2 and Foxglove write them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.fixtures.media import moving_blobs

mcap_writer = pytest.importorskip("mcap.writer", reason='needs pip install "prm-edge[robotics]"')
pytest.importorskip("mcap_ros2", reason='needs pip install "prm-edge[robotics]"')
from mcap_ros2.writer import Writer as Ros2Writer  # noqa: E402

from prm_runtime.sources import SourceError, open_source, open_sources  # noqa: E402
from prm_runtime.sources.errors import CodecError, NotFoundError  # noqa: E402
from prm_runtime.sources.raw_images import raw_to_rgb  # noqa: E402

HEADER = """================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""
IMAGE = (
    "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\n"
    "uint8[] data\n" + HEADER
)
COMPRESSED = "std_msgs/Header header\nstring format\nuint8[] data\n" + HEADER
STAMP = {"stamp": {"sec": 0, "nanosec": 0}, "frame_id": "camera"}
FRAMES = moving_blobs(3)


def raw_message(image: np.ndarray, encoding: str, padding: int = 0) -> dict[str, Any]:
    rows = [row.tobytes() + bytes(padding) for row in image]
    return {
        "header": STAMP,
        "height": image.shape[0],
        "width": image.shape[1],
        "encoding": encoding,
        "is_bigendian": 0,
        "step": len(rows[0]),
        "data": b"".join(rows),
    }


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def record_ros(path: Path, write: Callable[[Ros2Writer], None]) -> Path:
    with path.open("wb") as file:
        writer = Ros2Writer(file)
        write(writer)
        writer.finish()
    return path


@pytest.fixture
def ros(tmp_path: Path) -> Path:
    """Raw BGR rows with padding on one topic, PNGs on another, and a topic without images."""

    def write(writer: Ros2Writer) -> None:
        image = writer.register_msgdef("sensor_msgs/msg/Image", IMAGE)
        compressed = writer.register_msgdef("sensor_msgs/msg/CompressedImage", COMPRESSED)
        text = writer.register_msgdef("std_msgs/msg/String", "string data")
        for n, frame in enumerate(FRAMES):
            moment = 10**9 + n * 40_000_000
            bgr = raw_message(np.ascontiguousarray(frame[..., ::-1]), "bgr8", padding=5)
            writer.write_message("/left", image, bgr, log_time=moment)
            message = {"header": STAMP, "format": "png", "data": png(frame)}
            writer.write_message("/right", compressed, message, log_time=moment + 1)
            writer.write_message("/chatter", text, {"data": "hello"}, log_time=moment + 2)

    return record_ros(tmp_path / "rec.mcap", write)


def test_all_image_topics_of_a_ros_2_recording(ros: Path) -> None:
    sources = open_sources([str(ros)])
    assert [source.name for source in sources] == [f"{ros}#/left", f"{ros}#/right"]
    for source in sources:
        assert source.length == 3
        frames = list(source)
        assert [frame.index for frame in frames] == [0, 1, 2]
        np.testing.assert_allclose([frame.time_s for frame in frames], [0, 0.04, 0.08], atol=1e-9)
        for frame, original in zip(frames, FRAMES, strict=True):
            np.testing.assert_array_equal(frame.image, original)


def test_one_topic_by_its_name(ros: Path) -> None:
    (source,) = open_sources([f"{ros}#/right"])
    assert len(list(source)) == 3
    with pytest.raises(NotFoundError, match="no image topic /up; there are: /left, /right"):
        open_source(f"{ros}#/up")
    with pytest.raises(SourceError, match="several image topics: /left, /right; name one"):
        open_source(str(ros))


def record_foxglove_json(path: Path, contents: list[bytes]) -> Path:
    with path.open("wb") as file:
        writer = mcap_writer.Writer(file)
        writer.start()
        schema = writer.register_schema("foxglove.CompressedImage", "jsonschema", b"{}")
        channel = writer.register_channel("/camera", "json", schema)
        for n, content in enumerate(contents):
            writer.add_message(channel, n * 10**8, content, n * 10**8)
        writer.finish()
    return path


def json_image(image: np.ndarray) -> bytes:
    return json.dumps({"format": "png", "data": base64.b64encode(png(image)).decode()}).encode()


def test_foxglove_images_in_json_and_a_message_that_is_damaged(tmp_path: Path) -> None:
    broken = json.dumps({"format": "png", "data": base64.b64encode(b"no picture").decode()}).encode()
    contents = [json_image(FRAMES[0]), broken, b"{", json_image(FRAMES[1])]
    source = open_source(str(record_foxglove_json(tmp_path / "a.mcap", contents)))
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 1]
    np.testing.assert_array_equal(frames[1].image, FRAMES[1])
    assert source.status.skipped == len(source.problems) == 2
    assert "cannot be decoded" in source.problems[0]


def test_foxglove_images_in_protobuf(tmp_path: Path) -> None:
    schemas = pytest.importorskip("foxglove_schemas_protobuf.CompressedImage_pb2")
    writers = pytest.importorskip("mcap_protobuf.writer")
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer = writers.Writer(file)
        message = schemas.CompressedImage(format="png", data=png(FRAMES[0]))
        writer.write_message("/camera", message, log_time=5)
        writer.finish()
    (frame,) = open_source(str(path))
    np.testing.assert_array_equal(frame.image, FRAMES[0])


def test_recordings_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.mcap").write_bytes(b"no recording")
    with pytest.raises(CodecError, match=r"damaged or no MCAP recording"):
        open_source(str(tmp_path / "a.mcap"))

    def chatter(writer: Ros2Writer) -> None:
        schema = writer.register_msgdef("std_msgs/msg/String", "string data")
        writer.write_message("/chatter", schema, {"data": "hello"}, log_time=1)

    with pytest.raises(CodecError, match="no image topic"):
        open_source(str(record_ros(tmp_path / "b.mcap", chatter)))


def test_encodings_of_raw_images() -> None:
    rgb = FRAMES[0]
    height, width = rgb.shape[:2]
    alpha = np.full((height, width, 1), 9, np.uint8)
    for encoding, image in {
        "rgb8": rgb,
        "bgr8": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, alpha], 2),
        "bgra8": np.concatenate([rgb[..., ::-1], alpha], 2),
    }.items():
        content = np.ascontiguousarray(image).tobytes()
        found = raw_to_rgb(content, height, width, width * image.shape[2], encoding)
        np.testing.assert_array_equal(found, rgb)
    grey = np.arange(6, dtype=np.uint16).reshape(2, 3) * 256 + 7
    for order in (False, True):
        content = grey.astype(">u2" if order else "<u2").tobytes()
        found = raw_to_rgb(content, 2, 3, 6, "mono16", big_endian=order)
        np.testing.assert_array_equal(found, np.repeat((grey >> 8)[..., None], 3, 2))
    red = np.zeros((8, 8), np.uint8)
    red[::2, ::2] = 200  # the sites of R in RGGB
    found = raw_to_rgb(red.tobytes(), 8, 8, 8, "bayer_rggb8")[2:6, 2:6].reshape(-1, 3)
    assert found[:, 0].min() > 150
    assert found[:, 1:].max() == 0


def test_raw_images_that_do_not_fit_their_size() -> None:
    with pytest.raises(CodecError, match="10 bytes; expected 2 rows of at least 6 of 6 bytes"):
        raw_to_rgb(bytes(10), 2, 2, 6, "rgb8")
    with pytest.raises(CodecError, match="pixels are 32FC1; expected one of rgb8"):
        raw_to_rgb(bytes(10), 2, 2, 6, "32FC1")
