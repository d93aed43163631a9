"""The page with the shipped model on the demo's clip; takes the pictures of docs/serve.md.

``PRM_SCREENSHOTS=docs/images pytest tests/runtime/test_serve_screenshots.py`` writes them there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from tests.fixtures.chromium import DESKTOP, PHONE, Tab, launched_chromium
from tests.fixtures.mjpeg_server import MjpegServer
from tests.fixtures.served_run import ServedRun

from prm_runtime.sources import open_source
from prm_runtime.sources.pictures import read_picture

DEMO = Path(__file__).parents[2] / "demo"
FRAMES = slice(108, 133)  # several kinds of things are in them
ENOUGH = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the screenshots go."""
    return Path(os.environ.get("PRM_SCREENSHOTS") or tmp_path).resolve()


def pan(picture: Path) -> list[NDArray[np.uint8]]:
    """A camera that swings from left to right and back."""
    image = cv2.resize(read_picture(picture), (560, 373))
    return [np.asarray(image[:, x : x + 480]) for x in [*range(0, 80, 4), *range(80, 0, -4)]]


@pytest.fixture
def cameras() -> Iterator[list[MjpegServer]]:
    """A street, a yard and a gate. Live: a slow computer shows fewer of their pictures, not older ones."""
    frames = islice(open_source(str(DEMO / "bikes.mp4")), FRAMES.start, FRAMES.stop)
    street, cat = [frame.image for frame in frames], pan(DEMO / "photos" / "chelsea.jpg")
    cameras = [MjpegServer(street, 5, "street"), MjpegServer(cat, 5, "yard"), MjpegServer(cat, 5, "gate")]
    yield cameras
    for camera in cameras[:2]:
        camera.unplug()


def test_the_page_with_the_shipped_model(folder: Path, cameras: list[MjpegServer]) -> None:
    street, _, gate = cameras
    with launched_chromium() as chromium:
        run = ServedRun(*(camera.url for camera in cameras), "--serve", "0", "--retry-for", "1")
        desktop = Tab(chromium.new_context(**DESKTOP).new_page()).open(run.url)
        phone = Tab(chromium.new_context(**PHONE).new_page()).open(run.url)
        desktop.wait_for_pictures(3)
        gate.unplug()
        desktop.wait("document.querySelectorAll('.tile')[2].dataset.tone === 'dead'")
        for tab in (desktop, phone):
            tab.choose(street.url)
            tab.wait(f"document.querySelectorAll('#counts li[data-label]').length >= {ENOUGH}")
            tab.freeze()
        assert desktop.counts().keys() & {"bicycle", "person", "car", "bus"}
        desktop.take(folder / "serve-desktop.jpg")
        phone.take(folder / "serve-phone.jpg")
        plain = desktop.pixels()
        desktop.page.keyboard.press("p")
        peaks = desktop.pixels()
        desktop.take(folder / "serve-peaks.jpg")
        desktop.page.keyboard.press("p")
        desktop.page.keyboard.press("c")
        assert len({plain, peaks, desktop.pixels()}) == 3
        desktop.page.keyboard.press("c")
        desktop.choose("All")
        desktop.take(folder / "serve-sources.jpg")
        assert desktop.page.locator(".tile .notice:visible").inner_text().startswith("Dead")
        assert not desktop.troubles + phone.troubles
        run.stop()
    for name in ("desktop", "phone", "peaks", "sources"):
        image = cv2.imread(str(folder / f"serve-{name}.jpg"))
        assert image is not None
        assert image.std() > 20  # not an empty page
