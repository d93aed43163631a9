"""Pictures of failures, and one page that shows them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from prm_evaluation.failures.causes import Cause
from prm_evaluation.failures.gather import Failure, Failures
from prm_runtime.console import PrmError
from prm_runtime.draw import Colour, draw_outlines
from prm_runtime.sources.pictures import read_picture

TRUTH_COLOUR: Colour = (40, 220, 60)
FOUND_COLOUR: Colour = (240, 40, 40)
LONG_SIDE = 480
"""Most pixels of a side of a picture, so that a page with hundreds of them opens."""

_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 85)
_STYLE = """
body { font: 15px/1.45 sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: .2em .8em; text-align: left; }
td.number { text-align: right; } section div { display: flex; flex-wrap: wrap; gap: 8px; }
img { height: 220px; } .truth { color: #1b9a30; } .found { color: #d02020; }
"""


def draw_failure(failure: Failure) -> NDArray[np.uint8]:
    """The picture of a failure with the outlines of object and prediction and its caption, RGB [H, W, 3].

    Raises:
        PrmError: If the picture cannot be read.
    """
    image = read_picture(failure.image_path)
    scale = min(1, LONG_SIDE / max(image.shape[:2]))
    size = tuple(max(1, round(scale * side)) for side in image.shape[1::-1])
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    pairs = ((failure.truth, TRUTH_COLOUR), (failure.found, FOUND_COLOUR))
    outlines = [
        (cv2.resize(coco.decode(encoded), size, interpolation=cv2.INTER_NEAREST).astype(bool), colour)
        for encoded, colour in pairs
        if encoded is not None
    ]
    return draw_outlines(small, outlines, failure.caption)


def write_gallery(failures: Failures, folder: Path, per_cause: int, title: str) -> Path:
    """Write the pictures of the most striking failures of each cause, and a page that holds all of them.

    Args:
        failures: All of them; they are counted on the page.
        folder: Where the pictures go; made if missing.
        per_cause: Most pictures of each cause.
        title: What was measured on what.

    Returns:
        The page, ``index.html``: it needs no other file.

    Raises:
        PrmError: If a picture cannot be read or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown: dict[Cause, list[tuple[str, bytes]]] = {}
    for cause in Cause:
        shown[cause] = []
        for number, failure in enumerate(failures.of(cause)[:per_cause], start=1):
            path = folder / f"{cause.name.lower().replace('_', '-')}-{number:02}.jpg"
            jpeg = _jpeg(draw_failure(failure))
            path.write_bytes(jpeg)
            shown[cause].append((f"{failure.caption} ({failure.image_path.name})", jpeg))
    page = folder / "index.html"
    page.write_text(_page(title, counts(failures), shown), encoding="utf-8")
    return page


def counts(failures: Failures) -> dict[Cause, tuple[int, float]]:
    """How often each cause occurs, and of how many percent of all objects or predictions it is the cause."""
    found = {cause: len(failures.of(cause)) for cause in Cause}
    return {
        cause: (count, 100 * count / max(failures.objects if cause.of_object else failures.predictions, 1))
        for cause, count in found.items()
    }


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    written, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _QUALITY)
    if not written:
        raise PrmError(f"cannot write a picture of {image.shape[1]} x {image.shape[0]} pixels as JPEG")
    return bytes(data)


def _page(
    title: str,
    counted: Mapping[Cause, tuple[int, float]],
    shown: Mapping[Cause, Sequence[tuple[str, bytes]]],
) -> str:
    rows = "".join(
        f'<tr><td><a href="#{cause.name}">{escape(cause.title)}</a></td><td class="number">{count}</td>'
        f'<td class="number">{share:.1f} %</td><td>{escape(cause.definition)}</td></tr>\n'
        for cause, (count, share) in counted.items()
    )
    sections = "".join(
        f'<section id="{cause.name}"><h2>{escape(cause.title)}</h2><p>{escape(cause.definition)}</p><div>'
        + "".join(_picture(caption, jpeg) for caption, jpeg in pictures)
        + "</div></section>\n"
        for cause, pictures in shown.items()
        if pictures
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>Failures</h1><p>{escape(title)}</p>\n"
        '<p><span class="truth">green</span>: ground truth, <span class="found">red</span>: found. Of missed '
        "objects the largest come first, of wrong predictions the best scored. The first cause of the table "
        "that applies is the one.</p>\n"
        f"<table><tr><th>cause</th><th>number</th><th>share</th><th>definition</th></tr>\n{rows}</table>\n"
        f"{sections}</body></html>\n"
    )


def _picture(caption: str, jpeg: bytes) -> str:
    text = escape(caption, quote=True)
    return f'<img alt="{text}" title="{text}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
