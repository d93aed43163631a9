"""Conversion of ROS 2 messages, against the definitions of the messages and their wire format (CDR)."""

from __future__ import annotations

import ast
import io
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.fixtures.colour_blobs import BLOBS, draw_blobs

from prm_runtime.console import PrmError
from prm_runtime.segmenter import Segmenter

ROS2 = Path(__file__).parents[2] / "examples" / "ros2"
messages = SimpleNamespace(**runpy.run_path(str(ROS2 / "messages.py")))
HEADER = {"stamp": {"sec": 12, "nanosec": 34}, "frame_id": "camera"}

SEPARATOR = "=" * 80
HEADER_DEFINITIONS = f"""
{SEPARATOR}
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
{SEPARATOR}
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""
IMAGE = f"""std_msgs/Header header
uint32 height
uint32 width
string encoding
uint8 is_bigendian
uint32 step
uint8[] data{HEADER_DEFINITIONS}"""
# vision_msgs 4.1 without comments, and the messages of other packages that it is made of
DETECTIONS = f"""std_msgs/Header header
vision_msgs/Detection2D[] detections{HEADER_DEFINITIONS}{SEPARATOR}
MSG: vision_msgs/Detection2D
std_msgs/Header header
vision_msgs/ObjectHypothesisWithPose[] results
vision_msgs/BoundingBox2D bbox
string id
{SEPARATOR}
MSG: vision_msgs/ObjectHypothesisWithPose
vision_msgs/ObjectHypothesis hypothesis
geometry_msgs/PoseWithCovariance pose
{SEPARATOR}
MSG: vision_msgs/ObjectHypothesis
string class_id
float64 score
{SEPARATOR}
MSG: vision_msgs/BoundingBox2D
vision_msgs/Pose2D center
float64 size_x
float64 size_y
{SEPARATOR}
MSG: vision_msgs/Pose2D
vision_msgs/Point2D position
float64 theta
{SEPARATOR}
MSG: vision_msgs/Point2D
float64 x
float64 y
{SEPARATOR}
MSG: geometry_msgs/PoseWithCovariance
geometry_msgs/Pose pose
float64[36] covariance
{SEPARATOR}
MSG: geometry_msgs/Pose
geometry_msgs/Point position
geometry_msgs/Quaternion orientation
{SEPARATOR}
MSG: geometry_msgs/Point
float64 x
float64 y
float64 z
{SEPARATOR}
MSG: geometry_msgs/Quaternion
float64 x
float64 y
float64 z
float64 w
"""


def over_the_wire(datatype: str, definition: str, fields: dict[str, Any]) -> Any:
    """A message as ROS 2 would carry it: written by the definition, and read back."""
    writer_module = pytest.importorskip("mcap_ros2.writer")
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    file = io.BytesIO()
    writer = writer_module.Writer(file)
    writer.write_message("/x", writer.register_msgdef(datatype, definition), fields, 0)
    writer.finish()
    file.seek(0)
    reader = make_reader(file, decoder_factories=[DecoderFactory()])
    return next(reader.iter_decoded_messages()).decoded_message


def test_detections(colour_segmenter: Segmenter) -> None:
    instances = colour_segmenter(draw_blobs()[0])
    fields = messages.detections(instances, HEADER)
    message = over_the_wire("vision_msgs/msg/Detection2DArray", DETECTIONS, fields)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (12, 34)
    assert len(message.detections) == len(instances) == 3
    for n, detection in enumerate(message.detections):
        (result,) = detection.results
        assert detection.header.frame_id == "camera"
        assert result.hypothesis.class_id == instances.labels[n]
        assert result.hypothesis.score == pytest.approx(float(instances.scores[n]))
        centre, size = detection.bbox.center.position, (detection.bbox.size_x, detection.bbox.size_y)
        blob = min(BLOBS, key=lambda blob: np.hypot(blob.x - centre.x, blob.y - centre.y))
        assert blob.label == instances.labels[n]
        assert np.hypot(blob.x - centre.x, blob.y - centre.y) < 4
        assert size == pytest.approx((2 * blob.radius,) * 2, abs=8)
        assert detection.id == ""


def test_the_image_of_instances(colour_segmenter: Segmenter) -> None:
    instances = colour_segmenter(draw_blobs()[0])
    message = over_the_wire("sensor_msgs/msg/Image", IMAGE, messages.instance_image(instances, HEADER))
    numbers = np.frombuffer(bytes(message.data), np.uint8).reshape(message.height, message.step)
    assert message.encoding == "mono8"
    for n, mask in enumerate(instances.masks):
        np.testing.assert_array_equal(numbers == n + 1, mask & ~instances.masks[:n].any(axis=0))
    assert (numbers == 0).sum() == (~instances.masks.any(axis=0)).sum()


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_images(encoding: str) -> None:
    image = draw_blobs()[0]
    height, width = image.shape[:2]
    rows = np.zeros((height, 3 * width + 8), np.uint8)  # rows may be padded
    rows[:, : 3 * width] = (image if encoding == "rgb8" else image[:, :, ::-1]).reshape(height, -1)
    fields = {"header": HEADER, "height": height, "width": width, "encoding": encoding, "is_bigendian": 0}
    fields |= {"step": rows.shape[1], "data": rows.tobytes()}
    message = over_the_wire("sensor_msgs/msg/Image", IMAGE, fields)
    np.testing.assert_array_equal(messages.to_rgb(message), image)
    assert messages.header_fields(message.header) == HEADER


def test_other_encodings_are_named() -> None:
    image = SimpleNamespace(height=1, width=1, step=4, encoding="32FC1", is_bigendian=0, data=bytes(4))
    with pytest.raises(PrmError, match="pixels are 32FC1; expected one of rgb8"):
        messages.to_rgb(image)


def test_nothing_found(colour_segmenter: Segmenter) -> None:
    instances = colour_segmenter(draw_blobs(())[0])
    message = over_the_wire(
        "vision_msgs/msg/Detection2DArray", DETECTIONS, messages.detections(instances, HEADER)
    )
    assert message.detections == []
    assert not any(messages.instance_image(instances, HEADER)["data"])


def test_the_node_uses_nothing_that_the_conversion_lacks() -> None:
    """The node itself needs ROS and never ran here; what it asks of ``messages`` is there."""
    asked = {
        node.attr
        for node in ast.walk(ast.parse((ROS2 / "node.py").read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "messages"
    }
    assert asked == {"to_rgb", "header_fields", "detections", "instance_image"}
    assert all(hasattr(messages, name) for name in asked)
