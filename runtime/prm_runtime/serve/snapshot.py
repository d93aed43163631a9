"""One result as the bytes that browsers get: a JSON header, then the picture and its layers."""

from __future__ import annotations

import json
import struct
import threading
from typing import Any

import numpy as np

from prm_runtime.draw import PALETTE, instance_colours
from prm_runtime.serve import layers
from prm_runtime.sinks.base import Result

OUTLINE_STEPS = 400  # of the longer side: about as fine as the superpixels that masks are made of
PARTS = ("picture", "prms", "class_maps")


class Snapshot:
    """The newest result of a source; it is encoded when the first viewer asks, once for all of them.

    Attributes:
        source: Number of the source on the page.
        sequence: Counts the results of the source, from 1.
    """

    def __init__(
        self, source: int, sequence: int, result: Result, latency_s: float, map_shift: float
    ) -> None:
        """Keep the result; nothing is computed yet."""
        self.source = source
        self.sequence = sequence
        self._result: Result | None = result
        self._latency_s = latency_s
        self._map_shift = map_shift
        self._message = b""
        self._lock = threading.Lock()

    def message(self) -> bytes:
        """The length of the header (uint32, little-endian), the header, and the parts that it lists.

        May be called from any thread; takes some milliseconds the first time.
        """
        with self._lock:
            if self._result is not None:
                self._message = self._encode(self._result)
                self._result = None  # masks and maps are large
        return self._message

    def _encode(self, result: Result) -> bytes:
        frame, instances, evidence = result.frame, result.instances, result.evidence
        height, width = frame.image.shape[:2]
        prms, prm_size = b"", (0, 0)
        if instances.prms is not None:
            prms, prm_size = layers.prm_column(instances.prms)
        maps, map_size, shown = b"", (0, 0), []
        if evidence is not None:
            shown = layers.strongest_classes(evidence, instances.class_ids)
            maps, map_size = layers.class_map_column(evidence, shown, (height, width), self._map_shift)
        parts = {"picture": layers.picture(frame.image), "prms": prms, "class_maps": maps}
        header = {
            "source": self.source,
            "sequence": self.sequence,
            "frame": frame.index,
            "time_s": frame.time_s,
            "latency_s": round(self._latency_s, 4),
            "width": width,
            "height": height,
            "instances": _instance_records(result),
            "prm_size": prm_size,
            "class_map_size": map_size,
            "class_maps": [
                {"label": instances.classes[n], "colour": PALETTE[n % len(PALETTE)]} for n in shown
            ],
            "parts": [len(parts[name]) for name in PARTS],
        }
        text = json.dumps(header, separators=(",", ":")).encode()
        return b"".join([struct.pack("<I", len(text)), text, *(parts[name] for name in PARTS)])


def _instance_records(result: Result) -> list[dict[str, Any]]:
    instances = result.instances
    tracks = instances.track_ids
    tolerance = max(instances.masks.shape[1:]) / OUTLINE_STEPS
    return [
        {
            "label": label,
            "score": round(float(instances.scores[n]), 4),
            "track_id": None if tracks is None else int(tracks[n]),
            "colour": colour,
            "box": instances.boxes[n].tolist(),
            "peak": np.round(instances.peaks[n], 1).tolist(),
            "outlines": layers.outlines(instances.masks[n], instances.boxes[n], tolerance),
        }
        for n, (label, colour) in enumerate(zip(instances.labels, instance_colours(instances), strict=True))
    ]
