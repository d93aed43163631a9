"""What an actor does: open the bundle once, then segment the pictures that it is handed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from prm_runtime.distributed.table import Row, problem_row, to_table
from prm_runtime.errors import PrmError
from prm_runtime.results import frame_record
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.base import Frame
from prm_runtime.sources.errors import SourceError
from prm_runtime.sources.pictures import read_picture


class PictureWorker:
    """Segments the pictures of a block; one lives on each device.

    Args:
        open_segmenter: Opens the bundle on this device.
    """

    def __init__(self, open_segmenter: Callable[[], Segmenter]) -> None:
        """Open the bundle."""
        self._segmenter = open_segmenter()

    def __call__(self, block: pa.Table) -> pa.Table:
        """The results of pictures: ``source`` is what they are called, ``path`` where they are."""
        return to_table([self._row(**picture) for picture in block.to_pylist()])

    def _row(self, source: str, path: str) -> Row:
        try:
            frame = Frame(read_picture(Path(path)), source, 0, None)
            return frame_record(frame, self._segmenter(frame.image, frame.stem))
        except SourceError as error:
            return problem_row(source, str(error))
        except PrmError:
            raise  # would come back with every picture
        except Exception as error:  # of the engine, on this picture: the others are worth having
            return problem_row(source, f"{source}: {type(error).__name__}: {error}")
