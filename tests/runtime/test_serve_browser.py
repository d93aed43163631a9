"""The page in headless Chromium, before real runs of prm-run on cameras that this test can unplug."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from tests.fixtures.chromium import DESKTOP, PHONE, TIMEOUT_MS, Tab, launched_chromium
from tests.fixtures.live_page import blob_result, wait_until
from tests.fixtures.media import moving_blobs
from tests.fixtures.mjpeg_server import MjpegServer
from tests.fixtures.served_run import ServedRun

from prm_runtime.segmenter import Segmenter
from prm_runtime.serve.about import About
from prm_runtime.serve.address import parse_address
from prm_runtime.serve.page import LivePage
from prm_runtime.sources.status import StatusKeeper

LAYERS = {"masks": "m", "labels": "l", "prms": "p", "class_maps": "c"}
SECRET = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with launched_chromium() as browser:
        yield browser


@dataclass
class Scene:
    """A run that watches two cameras."""

    yard: MjpegServer
    gate: MjpegServer
    run: ServedRun


@pytest.fixture(scope="module")
def scene(chromium, colour_bundle: Path) -> Iterator[Scene]:
    images = moving_blobs(40)
    yard, gate = MjpegServer(images, 8, "yard"), MjpegServer(images, 8, "gate")
    run = ServedRun(
        yard.url,
        gate.url,
        "--model",
        colour_bundle,
        "--serve",
        "127.0.0.1:0",
        "--retry-for",
        "1",
        "--threads",
        "1",
    )
    yield Scene(yard, gate, run)
    run.stop()
    yard.unplug()


@pytest.fixture
def tab(chromium, scene: Scene) -> Iterator[Tab]:
    with chromium.new_context(**DESKTOP) as context:
        tab = Tab(context.new_page()).open(scene.run.url)
        tab.wait_for_pictures(2)
        yield tab
        assert tab.troubles == []  # breaches of the content security policy are among them
        assert tab.hosts == {urlsplit(scene.run.url).netloc}


def test_the_pictures_move(tab: Tab) -> None:
    for tile in (0, 1):
        before = tab.pixels(tile)
        wait_until(lambda tile=tile, before=before: tab.pixels(tile) != before, "another picture")
    tab.wait("document.querySelector('.tile .rate').textContent.includes('fps')")
    tab.wait("parseFloat(document.getElementById('fps').textContent) > 0")
    tab.wait("/^[0-9.]+ m?s$/.test(document.getElementById('latency').textContent)")
    assert tab.page.locator("#model").inner_text().startswith("colour-blobs")


def test_switches_act_on_the_picture_at_once_and_by_key(tab: Tab) -> None:
    tab.freeze()  # so that only the switch can have changed the picture
    assert tab.pixels() == tab.pixels()
    looks = {tab.pixels()}
    for layer, key in LAYERS.items():
        before = tab.pixels()
        tab.page.locator(f".switch:has(#{layer})").click()
        assert tab.pixels() != before, layer
        looks.add(tab.pixels())
        tab.page.keyboard.press(key)
        assert tab.pixels() == before, layer
    assert len(looks) == 1 + len(LAYERS)


def test_the_slider_filters_picture_and_counts(tab: Tab) -> None:
    tab.freeze()
    assert tab.counts() == {"red": 4, "green": 2}  # of two cameras
    looks, totals = {}, []
    for percent in [20, *range(80, 101)]:  # the blobs' scores lie in between
        tab.slide(percent)
        assert tab.page.locator("#score-value").inner_text() == f"{percent} %"
        totals.append(sum(tab.counts().values()))
        looks.setdefault(totals[-1], tab.pixels())
    assert totals == sorted(totals, reverse=True)
    assert {6, 0} < set(totals)  # everything, nothing, and something in between
    assert tab.page.get_by_text("Nothing found").is_visible()
    assert looks[6] != looks[0]
    for layer in ("masks", "labels"):
        tab.page.locator(f".switch:has(#{layer})").click()
    assert tab.pixels() == looks[0]  # there is nothing left to hide
    tab.page.get_by_label("Only scores from").focus()
    tab.page.keyboard.press("Home")
    assert tab.page.locator("#score-value").inner_text() == "20 %"  # below it the run reports nothing


def test_frozen_pictures_stand_still_until_they_go_on(tab: Tab) -> None:
    tab.page.keyboard.press("Space")
    tab.wait("document.getElementById('connection').textContent === 'Frozen'")
    tab.page.wait_for_timeout(500)
    still = tab.pixels()
    tab.page.wait_for_timeout(1000)
    assert tab.pixels() == still
    tab.page.keyboard.press("Space")
    wait_until(lambda: tab.pixels() != still, "the picture goes on")


def test_one_of_several_sources_can_be_watched_alone(scene: Scene, tab: Tab) -> None:
    tab.choose(scene.gate.url)
    tab.wait("document.querySelectorAll('.tile:not([hidden])').length === 1")
    hidden = tab.page.locator(".tile").nth(0)
    tab.page.wait_for_timeout(500)
    before = hidden.get_attribute("data-sequence"), tab.pixels(1)
    wait_until(lambda: tab.pixels(1) != before[1], "the chosen picture moves")
    assert hidden.get_attribute("data-sequence") == before[0]  # nobody looks, so nothing is sent
    assert sum(tab.counts().values()) == 3
    tab.choose("All")
    wait_until(lambda: hidden.get_attribute("data-sequence") != before[0], "the other one is back")


def test_viewers_choose_for_themselves(chromium, scene: Scene, tab: Tab) -> None:
    with chromium.new_context(**DESKTOP) as context:
        other = Tab(context.new_page()).open(scene.run.url)
        other.wait_for_pictures(2)
        other.slide(95)
        assert tab.page.locator("#score-value").inner_text() == "20 %"
        other.freeze()
        before = tab.pixels()
        wait_until(lambda: tab.pixels() != before, "the first viewer's picture still moves")


def test_everything_can_be_reached_by_keyboard(tab: Tab) -> None:
    reached = []
    for _ in range(12):
        tab.page.keyboard.press("Tab")
        reached.append(tab.page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert [name for name in reached if name][:7] == ["freeze", "watched", *LAYERS, "score"]
    unnamed = tab.page.evaluate(
        "[...document.querySelectorAll('input, button')]"
        ".filter((control) => !(control.labels?.[0] ?? control).textContent.trim()).length"
    )
    assert unnamed == 0


def test_it_fits_a_phone(chromium, scene: Scene) -> None:
    with chromium.new_context(**PHONE) as context:
        tab = Tab(context.new_page()).open(scene.run.url)
        tab.wait_for_pictures(2)
        tab.choose(scene.gate.url)
        assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
        for layer in LAYERS:
            box = tab.page.locator(f".switch:has(#{layer})").bounding_box()
            assert box["height"] >= 44, layer  # wide enough for a thumb
        tab.page.locator("#sources").scroll_into_view_if_needed()
        picture = tab.page.locator(".tile:not([hidden]) canvas").bounding_box()
        assert picture["y"] >= 0  # the picture stays in sight
        assert picture["width"] == pytest.approx(390, abs=2)
        assert tab.troubles == []


def test_a_dead_source_shows_as_dead_and_the_other_lives_on(scene: Scene, tab: Tab) -> None:
    scene.gate.unplug()
    gate = tab.page.locator(".tile").nth(1)
    tab.wait("document.querySelectorAll('.tile')[1].dataset.tone === 'dead'")
    assert gate.locator(".pill").inner_text() == "Dead"
    assert gate.locator(".notice").is_visible()
    assert "refused" in gate.locator(".notice").inner_text()
    assert tab.page.locator("#sources li").nth(1).get_attribute("data-tone") == "dead"
    assert tab.page.locator(".tile").nth(0).locator(".pill").inner_text() == "Live"
    assert tab.page.locator("#connection").inner_text() == "Live"
    wait_until(lambda: tab.counts() == {"red": 2, "green": 1}, "its last picture counts no more")
    before = tab.pixels(0)
    wait_until(lambda: tab.pixels(0) != before, "the other picture moves")


def test_a_server_that_goes_is_noticed_and_found_again(chromium, colour_segmenter: Segmenter) -> None:
    results = [blob_result(colour_segmenter, index=n, shift=30 * n) for n in range(2)]
    source, about = StatusKeeper("clip.mp4"), About("colour-blobs", 0.2)
    with chromium.new_context(**DESKTOP) as context:
        with LivePage(parse_address("127.0.0.1:0"), [source], about) as first:
            first.write(results[0])
            tab = Tab(context.new_page()).open(first.url)
            tab.wait_for_pictures(1)
            before = tab.pixels()
        tab.wait("document.getElementById('connection').textContent === 'No answer'")
        assert tab.page.locator(".tile .pill").inner_text() == "Unknown"
        with LivePage(parse_address(urlsplit(first.url).netloc), [source], about) as second:
            second.write(results[1])
            tab.wait("document.getElementById('connection').textContent === 'Live'")
            wait_until(lambda: tab.pixels() != before, "the new picture")


def test_with_a_token_the_page_asks_for_it_and_forgets_the_address(
    chromium, colour_segmenter: Segmenter
) -> None:
    address = parse_address("0.0.0.0:0")
    with (
        LivePage(address, [StatusKeeper("clip.mp4")], About("colour-blobs"), token=SECRET) as live,
        chromium.new_context(**DESKTOP) as context,
    ):
        live.write(blob_result(colour_segmenter))
        url = f"http://127.0.0.1:{urlsplit(live.url).port}/"
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        assert page.goto(url).status == 401
        page.get_by_label("Token").fill("wrong-wrong-wrong-wrong")
        page.get_by_role("button", name="Watch").click()
        page.get_by_label("Token").fill(SECRET)
        page.get_by_role("button", name="Watch").click()
        page.wait_for_selector(".tile[data-sequence]")
        assert page.url == url


def test_after_a_restart_with_another_token_the_page_asks_again(
    chromium, colour_segmenter: Segmenter
) -> None:
    source, about = StatusKeeper("clip.mp4"), About("colour-blobs")
    with chromium.new_context(**DESKTOP) as context:
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        with LivePage(parse_address("127.0.0.1:0"), [source], about, token=SECRET) as first:
            first.write(blob_result(colour_segmenter))
            page.goto(f"{first.url}?token={SECRET}")
            page.wait_for_selector(".tile[data-sequence]")
        address = parse_address(urlsplit(first.url).netloc)
        with LivePage(address, [source], about, token=SECRET[::-1]):
            page.get_by_label("Token").wait_for()
