"""``prm-run --ray``: a plain run's options, on Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.markup import escape

from prm_runtime.console import stderr
from prm_runtime.distributed.folder import claim_folder
from prm_runtime.errors import PrmError
from prm_runtime.pipeline import Summary
from prm_runtime.report import MAX_TOLD, summary_line
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result, Sink
from prm_runtime.sources import Source
from prm_runtime.sources.pictures import Pictures


def refuse_beside_ray(sources: Sequence[Source], others: Mapping[str, object]) -> None:
    """Refuse sources that are no pictures, and options that need what Parquet does not hold.

    Raises:
        PrmError: With what to leave out.
    """
    for source in sources:
        if not isinstance(source, Pictures):
            raise PrmError(f"--ray maps over pictures, and {source.name} is none; run it without --ray")
    given = [option for option, value in others.items() if value]
    if given:
        raise PrmError(f"{', '.join(given)} cannot go with --ray, which keeps results alone; leave it out")


def run_with_ray(
    sources: Sequence[Source],
    open_segmenter: Callable[[], Segmenter],
    backend: str,
    settings: Mapping[str, object],
    folder: Path,
    classes: Sequence[str],
    sinks: Sequence[Sink],
) -> int:
    """Segment pictures on Ray, then hand what was found, now or before, to the sinks.

    Args:
        sources: The pictures.
        open_segmenter: Opens the bundle; called once per device.
        backend: The engine.
        settings: What results depend on, apart from the engine.
        folder: Where the Parquet files go.
        classes: Names of the model's classes.
        sinks: Where results go besides.

    Returns:
        How many pictures have no result, and sinks failed.

    Raises:
        PrmError: If Ray is not installed, the folder holds results of other settings, or the run fails.
    """
    try:
        from prm_runtime.distributed.replay import replay
        from prm_runtime.distributed.run import segment_on_ray
        from prm_runtime.distributed.table import remove_damaged
    except ImportError as error:
        raise PrmError(f'--ray needs {error.name}; run: pip install "prm-edge[ray]"') from None
    paths = [str(path) for source in sources if isinstance(source, Pictures) for path in source.paths]
    claim_folder(folder, settings)
    for damaged in remove_damaged(folder):
        stderr.print(f"removed {escape(str(damaged))}: a killed run left it unfinished", highlight=False)
    left = segment_on_ray(paths, open_segmenter, backend, folder)
    stderr.print(f"{len(paths) - left} of {len(paths)} pictures were done before", highlight=False)
    summary = Summary()

    def on_result(result: Result) -> None:
        summary.frames += 1
        summary.frames_with.update(sorted(set(result.instances.labels)))

    problems = replay(paths, folder, classes, sinks, on_result)
    for problem in problems[:MAX_TOLD]:
        stderr.print("[yellow]skipped:[/]", escape(problem), highlight=False, soft_wrap=True)
    if len(problems) > MAX_TOLD:
        stderr.print(f"[yellow]skipped:[/] {len(problems) - MAX_TOLD} more")
    stderr.print(escape(summary_line(summary)), highlight=False, soft_wrap=True)
    return len(problems)
