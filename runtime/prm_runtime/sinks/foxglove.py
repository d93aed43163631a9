"""Frames and instances as messages of Foxglove's schemas."""

from __future__ import annotations

import numpy as np
from foxglove_schemas_protobuf.CircleAnnotation_pb2 import CircleAnnotation
from foxglove_schemas_protobuf.Color_pb2 import Color
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.ImageAnnotations_pb2 import ImageAnnotations
from foxglove_schemas_protobuf.KeyValuePair_pb2 import KeyValuePair
from foxglove_schemas_protobuf.Point2_pb2 import Point2
from foxglove_schemas_protobuf.PointsAnnotation_pb2 import PointsAnnotation
from foxglove_schemas_protobuf.TextAnnotation_pb2 import TextAnnotation
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from prm_runtime.draw import FILL_OPACITY, Colour, instance_colours
from prm_runtime.instances import Instances
from prm_runtime.polygons import mask_polygons
from prm_runtime.sinks.pictures import encode_picture

_OUTLINE_PX, _PEAK_PX = 2.0, 8.0
_FONT_SHARE = 1 / 30  # of the picture's height


def compressed_image(image: NDArray[np.uint8], frame_id: str, time_ns: int) -> CompressedImage:
    """A frame, RGB uint8 [H, W, 3], as JPEG."""
    return CompressedImage(
        timestamp=_timestamp(time_ns), frame_id=frame_id, data=encode_picture(image, ".jpg"), format="jpeg"
    )


def image_annotations(instances: Instances, time_ns: int) -> ImageAnnotations:
    """Outlines, labels and peaks, in the colours of the drawings.

    Each carries ``label``, ``score`` and, where there is one, ``track_id`` as metadata. Coordinates are
    pixels from the upper left corner of the upper left pixel, in Foxglove as here.
    """
    message = ImageAnnotations(timestamp=_timestamp(time_ns))
    font_size = instances.masks.shape[1] * _FONT_SHARE
    for n, (label, colour) in enumerate(zip(instances.labels, instance_colours(instances), strict=True)):
        metadata = [KeyValuePair(key=key, value=value) for key, value in _facts(instances, n).items()]
        for ring in mask_polygons(instances.masks[n]):
            message.points.append(
                PointsAnnotation(
                    type=PointsAnnotation.LINE_LOOP,
                    points=[Point2(x=x, y=y) for x, y in ring],
                    outline_color=_colour(colour, 1),
                    fill_color=_colour(colour, FILL_OPACITY),
                    thickness=_OUTLINE_PX,
                    metadata=metadata,
                )
            )
        x, y = (float(value) for value in instances.peaks[n])
        message.circles.append(
            CircleAnnotation(
                position=Point2(x=x, y=y),
                diameter=_PEAK_PX,
                thickness=_OUTLINE_PX,
                outline_color=_colour(colour, 1),
                metadata=metadata,
            )
        )
        left, top = (float(value) for value in instances.boxes[n, :2])
        message.texts.append(
            TextAnnotation(
                position=Point2(x=left, y=max(top, font_size)),
                text=f"{label} {100 * instances.scores[n]:.0f}%",
                font_size=font_size,
                text_color=_colour((255, 255, 255), 1),
                background_color=_colour(colour, 1),
                metadata=metadata,
            )
        )
    return message


def _facts(instances: Instances, n: int) -> dict[str, str]:
    facts = {"label": instances.labels[n], "score": f"{instances.scores[n]:.4f}"}
    track = instances.track_id(n)
    return facts if track is None else {**facts, "track_id": str(track)}


def _colour(colour: Colour, opacity: float) -> Color:
    red, green, blue = (value / 255 for value in colour)
    return Color(r=red, g=green, b=blue, a=opacity)


def _timestamp(time_ns: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromNanoseconds(time_ns)
    return timestamp
