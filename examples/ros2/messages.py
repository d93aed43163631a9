"""ROS 2 messages from and to arrays, without ROS.

Messages that come in are read by their attributes; messages that go out are dictionaries with the fields of
their definitions, which ``rosidl_runtime_py.set_message_fields`` writes into a message. So all of this runs
and is tested where no ROS is installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prm_runtime.instances import Instances
from prm_runtime.sources.raw_images import raw_to_rgb

Fields = dict[str, Any]
MOST = 255  # instances that fit into mono8


def to_rgb(image: Any) -> NDArray[np.uint8]:
    """Pixels of a ``sensor_msgs/Image``, RGB, uint8 [H, W, 3].

    Raises:
        SourceError: If the encoding is not one of ``prm_runtime.sources.raw_images``.
    """
    big_endian = bool(image.is_bigendian)
    content = bytes(image.data)
    return raw_to_rgb(content, image.height, image.width, image.step, image.encoding, big_endian=big_endian)


def header_fields(header: Any) -> Fields:
    """A ``std_msgs/Header``: results carry the stamp and frame of their picture."""
    return {
        "stamp": {"sec": header.stamp.sec, "nanosec": header.stamp.nanosec},
        "frame_id": header.frame_id,
    }


def detections(instances: Instances, header: Fields) -> Fields:
    """Fields of a ``vision_msgs/Detection2DArray`` (vision_msgs 4); boxes in pixels, as centre and size."""
    return {
        "header": header,
        "detections": [
            {
                "header": header,
                "results": [{"hypothesis": {"class_id": label, "score": float(instances.scores[n])}}],
                "bbox": _box(*instances.boxes[n].tolist()),
                "id": "" if instances.track_id(n) is None else str(instances.track_id(n)),
            }
            for n, label in enumerate(instances.labels)
        ],
    }


def instance_image(instances: Instances, header: Fields) -> Fields:
    """Fields of a ``sensor_msgs/Image`` of instance numbers, mono8.

    A pixel is n + 1 where it belongs to detection n, and 0 where to none; where masks overlap the better one
    is on top. Only the best 255 have a number.
    """
    height, width = instances.masks.shape[1:]
    numbers = np.zeros((height, width), np.uint8)
    for n in reversed(range(min(len(instances), MOST))):
        numbers[instances.masks[n]] = n + 1
    return {
        "header": header,
        "height": height,
        "width": width,
        "encoding": "mono8",
        "is_bigendian": 0,
        "step": width,
        "data": numbers.tobytes(),
    }


def _box(x0: int, y0: int, x1: int, y1: int) -> Fields:
    centre = {"position": {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2}, "theta": 0.0}
    return {"center": centre, "size_x": float(x1 - x0), "size_y": float(y1 - y0)}
