"""Instances as other libraries have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prm_runtime.errors import PrmError
from prm_runtime.rle import encode_mask

if TYPE_CHECKING:
    import supervision

    from prm_runtime.instances import Instances


def coco_annotations(
    instances: Instances, image_id: int, category_ids: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """COCO annotations and results at once, see :meth:`Instances.to_coco`."""
    entries = []
    for n, class_id in enumerate(instances.class_ids):
        x0, y0, x1, y1 = instances.boxes[n].tolist()
        entry = {
            "image_id": image_id,
            "category_id": int(class_id) + 1 if category_ids is None else category_ids[class_id],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": int(instances.masks[n].sum()),
            "iscrowd": 0,
            "segmentation": encode_mask(instances.masks[n]),
            "score": round(float(instances.scores[n]), 4),
        }
        if (track := instances.track_id(n)) is not None:
            entry["track_id"] = track
        entries.append(entry)
    return entries


def supervision_detections(instances: Instances) -> supervision.Detections:
    """The type of supervision, see :meth:`Instances.to_supervision`."""
    try:
        import supervision
    except ImportError:
        raise PrmError('to_supervision needs supervision; run: pip install "prm-edge[supervision]"') from None
    return supervision.Detections(
        xyxy=instances.boxes.astype(np.float32),
        mask=instances.masks,
        confidence=instances.scores,
        class_id=instances.class_ids,
        tracker_id=instances.track_ids,
        data={"class_name": np.array(instances.labels, dtype=np.str_)},
    )
