"""Overlays: one colour per instance, smooth contours, labels that can be read at any size."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from prm_runtime.instances import Instances

Colour = tuple[int, int, int]

FILL_OPACITY = 0.45
_FONT = cv2.FONT_HERSHEY_DUPLEX


def _palette(hues: int = 12) -> list[Colour]:
    """Distinct RGB colours: neighbouring entries are far apart in hue, the second half is lighter."""
    colours = []
    for saturation, value in ((0.9, 0.95), (0.55, 1.0)):
        for step in range(hues):
            hue = step * 5 % hues / hues
            red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
            colours.append((int(red * 255), int(green * 255), int(blue * 255)))
    return colours


PALETTE = _palette()
_NO_TRACK: Colour = (160, 160, 160)


def instance_colours(instances: Instances) -> list[Colour]:
    """One colour per instance, distinct up to the palette's length.

    Tracked instances keep the colour of their track, and are grey before they have one. Others take the
    colour of their class and, where a class has several, go on from left to right, so that colours hardly
    change from one video frame to the next.
    """
    if instances.track_ids is not None:
        return [PALETTE[track % len(PALETTE)] if track >= 0 else _NO_TRACK for track in instances.track_ids]
    slots = [-1] * len(instances)
    taken: set[int] = set()
    centres = instances.boxes[:, 0] + instances.boxes[:, 2]
    for n in np.lexsort((centres, instances.class_ids)):
        slot = int(instances.class_ids[n]) % len(PALETTE)
        while slot in taken and len(taken) < len(PALETTE):
            slot = (slot + 1) % len(PALETTE)
        slots[n] = slot
        taken.add(slot)
    return [PALETTE[slot] for slot in slots]


def draw_instances(image: NDArray[np.uint8], instances: Instances) -> NDArray[np.uint8]:
    """Draw masks, contours, peaks and labels.

    Args:
        image: RGB, uint8 [H, W, 3]; not changed.
        instances: What was found in it.

    Returns:
        RGB, uint8 [H, W, 3].
    """
    canvas = image.copy()
    unit = _unit(image)
    colours = instance_colours(instances)
    for n in reversed(range(len(instances))):  # the best on top
        _fill(canvas, instances.masks[n], instances.boxes[n], colours[n])
    for n in reversed(range(len(instances))):
        _outline(canvas, instances.masks[n], colours[n], max(1, round(1.5 * unit)))
    taken: list[tuple[int, int, int, int]] = []
    for n, label in enumerate(instances.labels):
        track = instances.track_id(n)
        name = label if track is None else f"{label} #{track}"
        text = f"{name} {100 * instances.scores[n]:.0f}%"
        anchor = (int(instances.boxes[n, 0]), int(instances.boxes[n, 1]))
        plate = _label(canvas, text, anchor, colours[n], unit, taken)
        if plate is not None:
            taken.append(plate)
    return canvas


def draw_outlines(
    image: NDArray[np.uint8], outlines: Sequence[tuple[NDArray[np.bool_], Colour]], caption: str
) -> NDArray[np.uint8]:
    """Outline masks, and write a line under the picture.

    Args:
        image: RGB, uint8 [H, W, 3].
        outlines: Masks, bool [H, W], each with its colour; later ones lie on top.
        caption: What to write; made smaller where it would be too long.

    Returns:
        RGB, uint8 [H', W, 3] with a strip for the caption below the H rows of the picture.
    """
    width = image.shape[1]
    unit = _unit(image)
    canvas = image.copy()
    for mask, colour in outlines:
        _outline(canvas, mask, colour, max(1, round(1.5 * unit)))
    pad, scale = round(4 * unit), 0.45 * unit
    text_width = cv2.getTextSize(caption, _FONT, scale, 1)[0][0]
    scale *= min(1, (width - 2 * pad) / max(text_width, 1))
    (_, text_height), baseline = cv2.getTextSize(caption, _FONT, scale, 1)
    strip = np.zeros((text_height + baseline + 2 * pad, width, 3), np.uint8)
    cv2.putText(strip, caption, (pad, pad + text_height), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([canvas, strip])


def draw_prm(image: NDArray[np.uint8], prm: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a Peak Response Map over its frame as a heat map.

    Args:
        image: RGB, uint8 [H, W, 3].
        prm: float32 [h2, w2], over the whole frame.

    Returns:
        RGB, uint8 [H, W, 3]; the frame is dimmed, the response runs from black over red to white.
    """
    heat = prm_heat(prm, (image.shape[0], image.shape[1]))
    coloured = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_HOT)
    dimmed = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    blended = cv2.addWeighted(dimmed, 0.35, cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), 0.9, 0)
    return np.asarray(blended, dtype=np.uint8)


def prm_heat(prm: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A Peak Response Map as it is shown, on another grid.

    Args:
        prm: float32 [h2, w2].
        size: The grid (h, w).

    Returns:
        float32 [h, w] in 0..1.
    """
    # The 99.5th percentile, not the maximum: single cells hold far more than their neighbours.
    tiny = float(np.finfo(np.float32).tiny)
    level = max(float(np.percentile(prm, 99.5)), float(prm.max()) / 20, tiny)
    method = cv2.INTER_AREA if prm.shape[0] > size[0] else cv2.INTER_LINEAR
    heat = cv2.resize(prm, size[::-1], interpolation=method) / level
    return np.asarray(np.clip(heat, 0, 1), dtype=np.float32)


def _unit(image: NDArray[np.uint8]) -> float:
    """What line widths and letters are multiples of: they grow with the picture."""
    return max(1.0, float(min(image.shape[:2])) / 360)


def _fill(canvas: NDArray[np.uint8], mask: NDArray[np.bool_], box: NDArray[np.int64], colour: Colour) -> None:
    x0, y0, x1, y1 = box
    _tint(canvas[y0:y1, x0:x1], mask[y0:y1, x0:x1], _tints(colour))


@lru_cache(maxsize=64)
def _tints(colour: Colour) -> NDArray[np.uint8]:
    """What each level of each channel becomes under a colour, uint8 [256, 3]."""
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    over = np.broadcast_to(np.array(colour, np.uint8), levels.shape).copy()
    tints = np.asarray(cv2.addWeighted(levels, 1 - FILL_OPACITY, over, FILL_OPACITY, 0), np.uint8)
    tints.flags.writeable = False
    return tints


@njit(cache=True, nogil=True)
def _tint(region, inside, tints):  # type: ignore[no-untyped-def]
    for y in range(inside.shape[0]):
        for x in range(inside.shape[1]):
            if inside[y, x]:
                for c in range(3):
                    region[y, x, c] = tints[region[y, x, c], c]


def _outline(canvas: NDArray[np.uint8], mask: NDArray[np.bool_], colour: Colour, thickness: int) -> None:
    pixels = mask.view(np.uint8)
    x, y, width, height = cv2.boundingRect(pixels)
    inside = pixels[y : y + height, x : x + width]
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1, offset=(x, y))
    # of the white line half a pixel shows on either side: smoothing it takes half the time and is not seen
    cv2.drawContours(canvas, contours, -1, (255, 255, 255), thickness + 1)
    cv2.drawContours(canvas, contours, -1, colour, thickness, cv2.LINE_AA)


def _label(
    canvas: NDArray[np.uint8],
    text: str,
    anchor: tuple[int, int],
    colour: Colour,
    unit: float,
    taken: list[tuple[int, int, int, int]],
) -> tuple[int, int, int, int] | None:
    """Write ``text`` on a plate above ``anchor``, inside the picture and clear of the plates ``taken``.

    Returns:
        The plate, or None where the picture is too small for readable letters.
    """
    height, width = canvas.shape[:2]
    scale, thickness, pad = 0.45 * unit, max(1, round(unit)), round(3 * unit)
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    plate_width, plate_height = text_width + 2 * pad, text_height + baseline + 2 * pad
    if plate_width > width or 4 * plate_height > height:
        return None
    x = max(0, min(anchor[0], width - plate_width))
    y = max(0, min(anchor[1] - plate_height, height - plate_height))
    for left, top, right, bottom in sorted(taken, key=lambda plate: plate[1]):
        overlaps = x < right and x + plate_width > left and y < bottom and y + plate_height > top
        if overlaps and bottom + plate_height <= height:
            y = bottom
    plate = (x, y, x + plate_width, y + plate_height)
    cv2.rectangle(canvas, plate[:2], (plate[2] - 1, plate[3] - 1), colour, cv2.FILLED)
    luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    ink = (0, 0, 0) if luminance > 128 else (255, 255, 255)
    position = (x + pad, y + pad + text_height)
    cv2.putText(canvas, text, position, _FONT, scale, ink, thickness, cv2.LINE_AA)
    return plate
