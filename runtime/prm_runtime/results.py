"""Results on disk: one JSON object per frame, masks in COCO's compressed run-length encoding."""

from __future__ import annotations

from typing import Any

from prm_runtime.instances import Instances
from prm_runtime.rle import decode_mask, encode_mask
from prm_runtime.sources.base import Frame

__all__ = ["FRAME_SCHEMA", "decode_mask", "encode_mask", "frame_record"]

FRAME_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "prm.Frame",
    "type": "object",
    "properties": {
        "source": {"type": "string"},
        "frame": {"type": "integer", "minimum": 0},
        "time_s": {"type": ["number", "null"]},
        "width": {"type": "integer", "minimum": 1},
        "height": {"type": "integer", "minimum": 1},
        "instances": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "class_id": {"type": "integer", "minimum": 0},
                    "score": {"type": "number", "minimum": 0, "maximum": 1},
                    "peak": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                    "box": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
                    "mask": {
                        "type": "object",
                        "properties": {"size": {"type": "array"}, "counts": {"type": "string"}},
                        "required": ["size", "counts"],
                    },
                    "track_id": {"type": ["integer", "null"]},
                },
                "required": ["label", "class_id", "score", "peak", "box", "mask", "track_id"],
            },
        },
    },
    "required": ["source", "frame", "time_s", "width", "height", "instances"],
}
"""JSON Schema of what :func:`frame_record` returns."""


def frame_record(frame: Frame, instances: Instances) -> dict[str, Any]:
    """The JSON object of one frame.

    Coordinates are pixels of the source frame, x right, y down; boxes are [x0, y0, x1, y1] with x1 and y1
    exclusive; a still picture has frame 0 and time_s null.
    """
    height, width = frame.image.shape[:2]
    return {
        "source": frame.source,
        "frame": frame.index,
        "time_s": None if frame.time_s is None else round(frame.time_s, 6),
        "width": width,
        "height": height,
        "instances": [
            {
                "label": label,
                "class_id": int(instances.class_ids[n]),
                "score": round(float(instances.scores[n]), 4),
                "peak": [round(float(value), 2) for value in instances.peaks[n]],
                "box": instances.boxes[n].tolist(),
                "mask": encode_mask(instances.masks[n]),
                "track_id": instances.track_id(n),
            }
            for n, label in enumerate(instances.labels)
        ],
    }
