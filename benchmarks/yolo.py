"""YOLO11n-seg in another interpreter, which takes turns with ours through pipes; see ``yolo_worker.py``."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.timing import Run
from numpy.typing import NDArray

from prm_runtime.console import PrmError

SIDE, STRIDE = 640, 32
WORKER = Path(__file__).with_name("yolo_worker.py")


class Yolo:
    """The worker process.

    Attributes:
        pid: Its identifier.
        about: Versions, weights and where its NMS comes from.
        instances: How many instances each call returned.
    """

    def __init__(
        self, python: str, frames: Sequence[NDArray[np.uint8]], folder: Path, weights: Path | None
    ) -> None:
        """Start it.

        Args:
            python: Interpreter of the environment with requirements-yolo.txt.
            frames: RGB, uint8 [H, W, 3], all of one size.
            folder: Where exported networks go, and are found again for the same frames.
            weights: ``yolo11n-seg.pt``; random ones if None.

        Raises:
            PrmError: If it does not start.
        """
        stack = np.stack(frames)
        # Random networks are made for their frames, and so are what they are exported to.
        folder = folder.resolve() / hashlib.sha256(stack.tobytes()).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "frames.npy", stack)
        arguments = [python, str(WORKER), str(folder / "frames.npy"), str(folder)]
        arguments += [str(weights.resolve())] if weights else []
        self._log = (folder / "worker.log").open("w")
        self._process = subprocess.Popen(  # noqa: S603
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self.pid = self._process.pid
        self.instances: list[int] = []
        self.about = self._answer()

    def run(self, engine: str, shape: tuple[int, int]) -> Run:
        """Calls of predict at a size (height, width), to be timed."""

        def call(number: int) -> dict[str, float]:
            answer = self._ask({"engine": engine, "shape": shape, "frame": number})
            self.instances.append(answer["instances"])
            seconds: dict[str, float] = answer["seconds"]
            return seconds

        return call

    def close(self) -> None:
        """End it."""
        self._process.communicate()
        self._log.close()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            said = Path(self._log.name).read_text().strip().splitlines()
            raise PrmError(
                f"the YOLO worker ended: {said[-1] if said else 'it said nothing'}; its interpreter needs "
                f"what is in benchmarks/requirements-yolo.txt ({self._log.name} has all that it said)"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def square() -> tuple[int, int]:
    """The size that predict takes by default."""
    return SIDE, SIDE


def rectangle(frame: NDArray[np.uint8]) -> tuple[int, int]:
    """The smallest size (height, width) of long side 640 that holds a frame."""
    height, width = frame.shape[:2]
    scale = SIDE / max(height, width)

    def padded(side: int) -> int:
        return -(-round(side * scale) // STRIDE) * STRIDE

    return padded(height), padded(width)
