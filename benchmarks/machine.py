"""The machine that figures were taken on: what it is, and what else it was doing."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

PACKAGES = ("prm-edge", "numpy", "numba", "opencv-python", "onnxruntime", "openvino", "torch")
_STAT, _CPUINFO = Path("/proc/stat"), Path("/proc/cpuinfo")
_COUNTED = slice(0, 8)  # user, nice, system, idle, iowait, irq, softirq, steal


def pin_threads(threads: int) -> None:
    """Keep this process, and whatever it starts, on so many CPUs, and OpenCV and numba on so many threads.

    Raises:
        ValueError: If the machine has fewer.
    """
    import cv2
    import numba

    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < threads:
            raise ValueError(f"{threads} threads were asked for, but there are {len(cpus)} CPUs")
        os.sched_setaffinity(0, cpus[:threads])
    cv2.setNumThreads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))


def machine() -> dict[str, Any]:
    """Processor, CPUs, system, versions and the commit of the working tree."""
    return {
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": _commit(),
    }


@dataclass(frozen=True)
class Disturbance:
    """What other processes did to a stretch of time.

    Attributes:
        waiting: Seconds that threads of the benchmark waited for a CPU, as a share of the stretch.
        elsewhere: CPU time of others (and of the host's other guests) as a share of all CPUs.
    """

    waiting: float
    elsewhere: float


class Watch:
    """Watches other processes, where Linux tells."""

    def __init__(self, workers: Sequence[int] = ()) -> None:
        """Keep the identifiers of processes that belong to the benchmark, apart from this one."""
        self._own = (os.getpid(), *workers)
        self.sees = _STAT.is_file() and Path("/proc/self/schedstat").is_file()
        self._started = (0.0, 0.0, 0.0, 0.0)

    def start(self) -> None:
        """Start to count."""
        if self.sees:
            self._started = self._count()

    def stop(self) -> Disturbance:
        """What happened since :meth:`start`; nothing where the system does not tell."""
        if not self.sees:
            return Disturbance(0, 0)
        changes = (now - then for now, then in zip(self._count(), self._started, strict=True))
        seconds, busy, own, waited = changes
        cpus = os.cpu_count() or 1
        return Disturbance(max(0.0, waited) / seconds, max(0.0, busy - own) / (seconds * cpus))

    def _count(self) -> tuple[float, float, float, float]:
        """Seconds by the clock, of all CPUs together, of this benchmark, and that it waited for a CPU."""
        ticks = os.sysconf("SC_CLK_TCK")
        fields = [int(word) for word in _STAT.read_text().split("\n", 1)[0].split()[1:][_COUNTED]]
        own, waited = 0, 0
        for process in self._own:
            after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            own += int(after_name[11]) + int(after_name[12])
            for thread in Path(f"/proc/{process}/task").iterdir():
                waited += _waited(thread)
        idle = fields[3] + fields[4]
        return perf_counter(), (sum(fields) - idle) / ticks, own / ticks, waited / 1e9


def _waited(thread: Path) -> int:
    """Nanoseconds that a thread waited for a CPU; 0 if it has just ended."""
    try:
        return int((thread / "schedstat").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _cpu_model() -> str:
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the working tree, with + behind it where tracked files differ; None outside of git."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", ":!results")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
