"""Map a bundle over many pictures with Ray Data, one actor per device, and go on where a run stopped."""

from __future__ import annotations

import logging
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prm_runtime.distributed.table import finished_sources
from prm_runtime.distributed.worker import PictureWorker
from prm_runtime.errors import PrmError
from prm_runtime.segmenter import Segmenter

_OURS = re.compile(r"(?:ray\.exceptions\.\S+: )?prm_\w+\.\S+Error: (.*)")  # PrmError and what derives from it
PICTURES_A_FILE = 64  # what a killed run loses at most, per actor
ON_GPU = ("tensorrt", "cuda")  # how the names of backends begin that take a GPU for themselves


def segment_on_ray(
    sources: Sequence[str], open_segmenter: Callable[[], Segmenter], backend: str, folder: Path
) -> int:
    """Write the results of pictures as Parquet files; pictures that have a result there are left out.

    Ray runs on this machine, or where ``RAY_ADDRESS`` says; then pictures, bundle and folder have to be at
    the same paths on all nodes.

    Args:
        sources: Paths of the pictures.
        open_segmenter: Opens the bundle; called once per actor.
        backend: The engine, which says what a device is.
        folder: Where the files go; there is nothing in it but what an earlier run has written.

    Returns:
        How many pictures were left to do.

    Raises:
        PrmError: If the bundle cannot be opened on a device, or Ray fails.
    """
    import ray

    finished = finished_sources(folder)
    left = [source for source in sources if source not in finished]
    if not left:
        return 0
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    started = not ray.is_initialized()
    if started:
        variables = {"OPENBLAS_NUM_THREADS": "1"}  # see prm_runtime.blas
        try:
            ray.init(
                include_dashboard=False, logging_level=logging.ERROR, runtime_env={"env_vars": variables}
            )
        except Exception as error:  # ConnectionError, ValueError, and Exception itself where it is too slow
            ray.shutdown()
            raise PrmError(reason(error)) from error
    try:
        actors, needs = devices(backend, ray.nodes())
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = sys.stderr.isatty()
        logging.getLogger("ray.data.exceptions").setLevel(
            logging.CRITICAL
        )  # tracebacks of what is raised too
        blocks = max(math.ceil(len(left) / PICTURES_A_FILE), min(actors, len(left)))
        pictures = [{"source": source, "path": str(Path(source).resolve())} for source in left]
        ray.data.from_items(pictures, override_num_blocks=blocks).map_batches(
            PictureWorker,
            fn_constructor_args=(open_segmenter,),
            batch_size=None,  # a block as a whole: its results become one file
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(actors, blocks)),
            **needs,
        ).write_parquet(str(folder))
    except ray.exceptions.RayError as error:
        raise PrmError(reason(error)) from error
    finally:
        if started:
            ray.shutdown()
    return len(left)


def devices(backend: str, nodes: Sequence[dict[str, Any]]) -> tuple[int, dict[str, float]]:
    """How many actors to run, and what Ray is to reserve for each.

    A device is a GPU for engines that run on one, else a node's CPU, of which a core is left to the reading
    and writing.

    Raises:
        PrmError: If there is no such device.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if backend.startswith(ON_GPU):
        gpus = int(sum(resources.get("GPU", 0) for resources in alive))
        if gpus == 0:
            raise PrmError(f"backend {backend!r} needs a GPU, and Ray sees none; take --backend onnxruntime")
        return gpus, {"num_gpus": 1}
    cores = [int(resources.get("CPU", 0)) for resources in alive]
    able = [count for count in cores if count > 0]
    if not able:
        raise PrmError("Ray has no CPU to offer; start its nodes with --num-cpus")
    return len(able), {"num_cpus": max(1, min(able) - 1)}


def reason(error: BaseException) -> str:
    """What went wrong, in one line: Ray's errors are the tracebacks of its processes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    ours = _OURS.match(last)
    return ours[1] if ours else f"Ray gave up: {last}"
