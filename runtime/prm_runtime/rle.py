"""COCO's compressed run-length encoding of masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO compressed RLE of a mask, bool [H, W]: ``{"size": [H, W], "counts": str}``."""
    encoded = coco.encode(np.asfortranarray(mask.view(np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def decode_mask(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """Inverse of :func:`encode_mask`."""
    decoded: NDArray[np.uint8] = coco.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")})
    return decoded.astype(np.bool_)
