"""Results on disk: one JSON object per frame, masks in COCO's compressed run-length encoding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from prm_runtime.instances import Instances
from prm_runtime.sources.base import Frame


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
                "track_id": None if instances.track_ids is None else int(instances.track_ids[n]),
            }
            for n, label in enumerate(instances.labels)
        ],
    }


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO compressed RLE of a mask, bool [H, W]: ``{"size": [H, W], "counts": str}``."""
    encoded = coco.encode(np.asfortranarray(mask.view(np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def decode_mask(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """Inverse of :func:`encode_mask`."""
    decoded: NDArray[np.uint8] = coco.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")})
    return decoded.astype(np.bool_)
