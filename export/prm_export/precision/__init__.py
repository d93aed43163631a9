"""Graphs of lower precision, made from those that were verified in float32.

What lowers precision is the trunk, the convolutions between the image and the class response maps. Whatever
peak back-propagation divides by or multiplies with stays float32, and so do the maps that peaks are found in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from prm_export.errors import ExportError
from prm_export.pipeline import Graphs
from prm_export.precision.half import to_half
from prm_export.precision.int8 import to_int8
from prm_export.precision.stored import store_bytes


class Precision(StrEnum):
    """What the trunk computes in."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


def lower_precision(
    graphs: Graphs, precision: Precision, images: Sequence[NDArray[np.float32]] = ()
) -> Graphs:
    """Graphs of this precision.

    Args:
        graphs: The graphs in float32; for fp16 with weights stored as float16, for int8 rounded to bytes.
        precision: What to make.
        images: Network inputs, float32 [1, 3, H, W], to calibrate int8 with.

    Raises:
        ExportError: If int8 has nothing to calibrate with.
    """
    if precision is Precision.fp32:
        return graphs
    if precision is Precision.fp16:
        return replace(graphs, forward=to_half(graphs.forward))
    if not images:
        raise ExportError("int8 needs pictures like those it will see: --calibrate FOLDER")
    forward = to_int8(graphs.forward, graphs.classifier, images)
    return replace(graphs, forward=forward, backprop=store_bytes(graphs.backprop, graphs.classifier))
