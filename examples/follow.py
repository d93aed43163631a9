"""A robot that turns towards the nearest dog: ``python examples/follow.py [CAMERA] [LABEL] [BUNDLE]``.

The loop is asynchronous, so that driving goes on while a frame is segmented. Replace ``Console`` by what
drives your robot. Bearings are right-handed as in ROS: radians, positive to the left.
"""

import asyncio
import math
import sys
from collections.abc import AsyncIterable, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prm_runtime.instances import Instances
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import open_source

FIELD_OF_VIEW = math.radians(60)  # of the camera, horizontally
GAIN, FASTEST = 1.5, 1.0  # 1/s and rad/s
CLOSE_ENOUGH = math.radians(2)
PATIENCE = 5  # frames without the target before the robot stops


class Robot(Protocol):
    """Anything that turns."""

    def turn(self, rate: float) -> None:
        """Turn with ``rate`` radians per second, to the left if positive, until told otherwise."""


class Console:
    """A robot that only says what it would do."""

    def turn(self, rate: float) -> None:
        """Print it."""
        print(f"turn {math.degrees(rate):+.0f}°/s")


def nearest(instances: Instances, label: str) -> int | None:
    """Index of the nearest instance of a class: on level ground the one whose mask reaches down furthest."""
    wanted = [n for n, name in enumerate(instances.labels) if name == label]
    return max(wanted, key=lambda n: (instances.boxes[n, 3], instances.masks[n].sum()), default=None)


def bearing(mask: NDArray[np.bool_]) -> float:
    """Angle from the camera's axis to the middle of a mask, bool [H, W]; positive to the left."""
    columns = np.flatnonzero(mask.any(axis=0))
    weights = mask[:, columns].sum(axis=0)
    width = mask.shape[1]
    offset = width / 2 - (np.average(columns, weights=weights) + 0.5)  # pixels
    return math.atan(offset / (width / 2) * math.tan(FIELD_OF_VIEW / 2))


def turn_rate(angle: float) -> float:
    """Radians per second to turn with: in proportion, bounded, and none where it is close enough."""
    return 0.0 if abs(angle) < CLOSE_ENOUGH else max(-FASTEST, min(FASTEST, GAIN * angle))


async def follow(
    segmenter: Segmenter,
    frames: AsyncIterable[NDArray[np.uint8]] | Iterable[NDArray[np.uint8]],
    robot: Robot,
    label: str = "dog",
) -> None:
    """Turn towards the nearest instance of a class, until the frames end."""
    missed = 0
    try:
        async for _, instances in segmenter.segment_stream(frames, ahead=1):
            target = nearest(instances, label)
            missed = 0 if target is not None else missed + 1
            if target is not None:
                robot.turn(turn_rate(bearing(instances.masks[target])))
            elif missed >= PATIENCE:
                robot.turn(0.0)
    finally:
        robot.turn(0.0)  # whatever happens, do not go on turning


def main(source: str = "0", label: str = "dog", bundle: str | None = None) -> None:
    """Follow with a camera; of a live source every frame is the newest."""
    with Segmenter.open(bundle, min_score=0.2, classes=[label]) as segmenter:
        frames = (frame.image for frame in open_source(source))
        asyncio.run(follow(segmenter, frames, Console(), label))


if __name__ == "__main__":
    main(*sys.argv[1:])
