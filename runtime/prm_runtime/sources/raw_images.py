"""Pixels of robots' raw image messages (``sensor_msgs/Image``, ``foxglove.RawImage``) as RGB."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_runtime.sources.errors import CodecError

# Encoding → channels, dtype, OpenCV's conversion to RGB (None where it is RGB already).
_ENCODINGS: dict[str, tuple[int, str, int | None]] = {
    "rgb8": (3, "u1", None),
    "8uc3": (3, "u1", cv2.COLOR_BGR2RGB),
    "bgr8": (3, "u1", cv2.COLOR_BGR2RGB),
    "rgba8": (4, "u1", cv2.COLOR_RGBA2RGB),
    "bgra8": (4, "u1", cv2.COLOR_BGRA2RGB),
    "8uc4": (4, "u1", cv2.COLOR_BGRA2RGB),
    "mono8": (1, "u1", cv2.COLOR_GRAY2RGB),
    "8uc1": (1, "u1", cv2.COLOR_GRAY2RGB),
    "mono16": (1, "u2", cv2.COLOR_GRAY2RGB),
    "16uc1": (1, "u2", cv2.COLOR_GRAY2RGB),
    "yuv422": (2, "u1", cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, "u1", cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, "u1", cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": (2, "u1", cv2.COLOR_YUV2RGB_YUY2),
    "bayer_rggb8": (1, "u1", cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": (1, "u1", cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": (1, "u1", cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": (1, "u1", cv2.COLOR_BayerGRBG2RGB),
}


def raw_to_rgb(
    content: bytes, height: int, width: int, step: int, encoding: str, *, big_endian: bool = False
) -> NDArray[np.uint8]:
    """Pixels of a raw image message.

    Args:
        content: The rows.
        height: Rows.
        width: Pixels of a row.
        step: Bytes of a row, padding included.
        encoding: A name of ``sensor_msgs/image_encodings`` such as ``bgr8``.
        big_endian: Order of the bytes of 16 bits.

    Returns:
        RGB, uint8 [height, width, 3]; of 16 bits the upper eight.

    Raises:
        CodecError: If the encoding is none of those above or the content is too short.
    """
    layout = _ENCODINGS.get(encoding.lower())
    if layout is None:
        raise CodecError(f"pixels are {encoding}; expected one of {', '.join(_ENCODINGS)}")
    channels, kind, conversion = layout
    dtype = np.dtype((">" if big_endian else "<") + kind)
    used = width * channels * dtype.itemsize
    if height <= 0 or width <= 0 or step < used or len(content) < height * step:
        raise CodecError(f"{len(content)} bytes; expected {height} rows of at least {used} of {step} bytes")
    rows = np.frombuffer(content, np.uint8, height * step).reshape(height, step)[:, :used]
    pixels = np.ascontiguousarray(rows).view(dtype).reshape(height, width, channels)
    if dtype.itemsize == 2:
        pixels = pixels >> 8
    pixels = pixels.astype(np.uint8)
    return np.asarray(pixels if conversion is None else cv2.cvtColor(pixels, conversion), dtype=np.uint8)
