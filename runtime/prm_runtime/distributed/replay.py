"""From Parquet to the sinks of a plain run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from prm_runtime.distributed.table import read_rows, row_instances
from prm_runtime.outputs import Outputs
from prm_runtime.sinks import Result, Sink
from prm_runtime.sources.base import Frame
from prm_runtime.sources.pictures import read_picture
from prm_runtime.timing import StageTimes


def replay(
    sources: Sequence[str],
    folder: Path,
    classes: Sequence[str],
    sinks: Sequence[Sink],
    on_result: Callable[[Result], None],
) -> list[str]:
    """Hand the results of pictures to sinks, in the order of the pictures.

    Args:
        sources: Paths of the pictures.
        folder: The Parquet files.
        classes: Names of the model's classes.
        sinks: Where the results go; they are closed.
        on_result: Told about every result.

    Returns:
        One line for people about each picture that has no result and each sink that failed.
    """
    problems, outputs, times = list[str](), Outputs(sinks), StageTimes()
    try:
        for row in read_rows(folder, sources):
            if row["problem"] is not None:
                problems.append(row["problem"])
                continue
            frame = Frame(read_picture(Path(row["source"])), row["source"], row["frame"], row["time_s"])
            result = Result(frame, row_instances(row, classes), times)
            outputs.write(result)
            on_result(result)
    finally:
        outputs.close()
    return problems + outputs.problems
