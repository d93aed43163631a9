"""The loop closed over a drawn world: the robot turns, the camera sees what is there then."""

from __future__ import annotations

import asyncio
import math
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.fixtures.colour_blobs import Blob, draw_blobs

from prm_runtime.console import PrmError
from prm_runtime.segmenter import Segmenter

example = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).parents[2] / "examples" / "follow.py"), run_name="follow")
)
HEIGHT, WIDTH = 336, 448
FOCAL = WIDTH / 2 / math.tan(example.FIELD_OF_VIEW / 2)
PERIOD = 0.2  # seconds per frame


class World:
    """A robot among blobs at bearings; each frame is drawn at the heading that the robot has by then."""

    def __init__(self, blobs: dict[float, tuple[str, int, int]], heading: float = 0.0) -> None:
        self.blobs, self.heading, self.rates, self.rate = blobs, heading, [], 0.0

    def turn(self, rate: float) -> None:
        self.rate = rate
        self.rates.append(rate)

    def frames(self, count: int) -> Iterator[np.ndarray]:
        for _ in range(count):
            self.heading += PERIOD * self.rate
            seen = []
            for angle, (label, y, radius) in self.blobs.items():
                offset = angle - self.heading
                if abs(offset) < math.pi / 2:
                    seen.append(Blob(label, round(WIDTH / 2 - FOCAL * math.tan(offset)), y, radius))
            yield draw_blobs(tuple(seen), (HEIGHT, WIDTH))[0]


def follow(segmenter: Segmenter, world: World, count: int, label: str = "red") -> None:
    asyncio.run(example.follow(segmenter, world.frames(count), world, label))


@pytest.mark.parametrize("bearing", [0.35, -0.3])
def test_it_turns_to_the_target_and_stays(colour_segmenter: Segmenter, bearing: float) -> None:
    world = World({bearing: ("red", 200, 50)})
    follow(colour_segmenter, world, 30)
    assert world.heading == pytest.approx(bearing, abs=2 * example.CLOSE_ENOUGH)
    assert math.copysign(1, world.rates[0]) == math.copysign(1, bearing)
    assert max(map(abs, world.rates)) <= example.FASTEST
    assert world.rates[-1] == 0


def test_the_nearest_is_the_one_whose_foot_is_lowest(colour_segmenter: Segmenter) -> None:
    world = World({0.3: ("red", 120, 55), -0.3: ("red", 250, 55)})
    follow(colour_segmenter, world, 30)
    assert world.heading == pytest.approx(-0.3, abs=2 * example.CLOSE_ENOUGH)


def test_other_classes_do_not_count(colour_segmenter: Segmenter) -> None:
    world = World({0.3: ("green", 200, 50)})
    follow(colour_segmenter, world, 8)
    assert set(world.rates) == {0.0}
    assert world.heading == 0


def test_a_lost_target_stops_the_robot(colour_segmenter: Segmenter) -> None:
    world = World({0.4: ("red", 200, 50)})

    def frames() -> Iterator[np.ndarray]:
        yield from world.frames(2)
        world.blobs.clear()
        yield from world.frames(example.PATIENCE + 2)

    asyncio.run(example.follow(colour_segmenter, frames(), world, "red"))
    assert world.rates[0] > 0
    assert world.rates[-1] == 0
    assert len(world.rates) > 3  # stopped before the end


def test_an_error_stops_the_robot(colour_segmenter: Segmenter) -> None:
    world = World({0.4: ("red", 200, 50)})

    def frames() -> Iterator[np.ndarray]:
        yield from world.frames(2)
        raise PrmError("the camera is gone")

    with pytest.raises(PrmError, match="the camera is gone"):
        asyncio.run(example.follow(colour_segmenter, frames(), world, "red"))
    assert world.rates[-1] == 0
