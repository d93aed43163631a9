"""What a program that embeds the segmenter does first: started by ``benchmarks.startup``, once per round."""

import json
import os
import sys
from time import monotonic, process_time

marks = {"interpreter": monotonic()}  # before anything of ours is imported
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402

from prm_runtime.segmenter import Segmenter  # noqa: E402

STATM, STATUS, MB = "/proc/self/statm", "/proc/self/status", 1e6


def resident() -> float:
    """Resident memory in MB."""
    with open(STATM) as file:  # noqa: PTH123 (pathlib is one import more)
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB


def peak() -> float:
    """The most that it ever was, in MB."""
    with open(STATUS) as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")) / MB


def main(backend: str, model: str, threads: str, path: str) -> None:
    """Open, segment a frame, then the others; prints moments and megabytes as JSON."""
    marks["imports"], memory = monotonic(), {"imports": resident()}
    segmenter = Segmenter.open(model, backend, threads=int(threads), min_score=0.2)
    marks["open"], memory["open"] = monotonic(), resident()
    frames = np.load(path)
    before = monotonic()
    found = segmenter(frames[0])
    marks["first mask"] = monotonic() - (before - marks["open"])  # loading the frames is not ours
    cpu = process_time()
    memory["first mask"] = resident() - frames.nbytes / MB
    for frame in frames[1:]:
        segmenter(frame)
    memory["all frames"] = resident() - frames.nbytes / MB
    memory["peak"] = peak() - frames.nbytes / MB
    print(json.dumps({"marks": marks, "cpu": cpu, "memory": memory, "found": len(found)}))


main(*sys.argv[1:])
