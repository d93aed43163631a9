"""``prm-export engines``: the TensorRT engines of a bundle, for this machine."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import onnx
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from prm_export.errors import ExportError
from prm_export.plugin.choose import prepare_peak_find
from prm_export.precision.half import to_half
from prm_runtime.backends.base import GraphUse
from prm_runtime.bundle import Bundle
from prm_runtime.console import PrmError, stderr
from prm_runtime.engines.cache import EngineCache
from prm_runtime.engines.cuda import Cuda, open_cuda
from prm_runtime.engines.flavors import Flavor, load_flavor
from prm_runtime.engines.provide import AS_EXPORTED, FP16, Provided, provide_engine

PORTABLE = "portable"
PEAK_FIND = "PeakFind"


class FlavorName(StrEnum):
    """The TensorRT to build with."""

    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt-rtx"


def engines(
    bundle: Annotated[Path, typer.Argument(help="Bundle (.prm).", show_default=False)],
    flavor: Annotated[FlavorName, typer.Option(help="TensorRT to build with.", show_default=False)],
    fp16: Annotated[
        bool,
        typer.Option("--fp16", help="Run the trunk in float16; gain maps and PRMs stay float32."),
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build even what is in the cache.")] = False,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of engines.", show_default="$PRM_ENGINE_CACHE or the user's cache"),
    ] = None,
) -> None:
    """Build the forward and the reverse engine of a bundle, or find them in the user's cache.

    TensorRT-RTX builds without a GPU too. An engine is for this machine: bundles travel, engines do not.
    """
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    if fp16 and manifest.precision != "fp32":
        raise ExportError(f"{bundle} is {manifest.precision} already: build its engines without --fp16")
    trt = load_flavor(flavor)
    cuda = _find_gpu(trt)
    device = PORTABLE if cuda is None else cuda.device
    peak_find = prepare_peak_find(trt, None if cuda is None else cuda.compute_capability)
    store, use = EngineCache(cache), GraphUse.of(manifest)
    title = f"{trt.name} {trt.version}, {device}, {FP16 if fp16 else AS_EXPORTED}"
    table = Table("graph", "engine", "MB", PEAK_FIND, title=title, title_justify="left")
    for file in (manifest.forward.file, manifest.backprop.file):
        is_forward = file == manifest.forward.file
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=stderr, transient=True) as progress:
            provided = provide_engine(
                trt,
                opened.read(file),
                use,
                device,
                store,
                precision=FP16 if fp16 else AS_EXPORTED,
                convert=_half if fp16 and is_forward else None,
                notes={PEAK_FIND: peak_find} if is_forward else {},
                rebuild=rebuild,
                on_progress=_advance(progress, f"building the engine of {file}"),
            )
        table.add_row(
            file, _origin(provided), _megabytes(provided), provided.engine.notes.get(PEAK_FIND, "-")
        )
    stderr.print(table)
    stderr.print(f"in {store.folder}", highlight=False, soft_wrap=True)


def _find_gpu(flavor: Flavor) -> Cuda | None:
    """The GPU; None if there is none and the flavor builds without."""
    try:
        return open_cuda()
    except PrmError:
        if flavor.info.has_timing_cache:  # it measures kernels on the GPU
            raise
        return None


def _half(model: bytes) -> bytes:
    content: bytes = to_half(onnx.load_model_from_string(model)).SerializeToString()
    return content


def _advance(progress: Progress, description: str) -> Callable[[float], None]:
    task = progress.add_task(description, total=1)
    shown = 0.0

    def advance(share: float) -> None:
        nonlocal shown
        shown = max(shown, share)  # phases overlap
        progress.update(task, completed=shown)

    return advance


def _origin(provided: Provided) -> str:
    return "in the cache" if provided.seconds is None else f"built in {provided.seconds:.0f} s"


def _megabytes(provided: Provided) -> str:
    return f"{len(provided.engine.content) / 1e6:.1f}"
