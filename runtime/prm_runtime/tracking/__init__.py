"""Identity over time: which instance of this frame is which of the last."""

from __future__ import annotations

from collections.abc import Callable

from prm_runtime.errors import PrmError
from prm_runtime.instances import Instances
from prm_runtime.sources import Frame
from prm_runtime.tracking.settings import TrackSettings

__all__ = ["TrackSettings", "open_tracks"]


def open_tracks(settings: TrackSettings | None = None) -> Callable[[Frame, Instances], Instances]:
    """A transform of the pipeline that tracks, see :class:`~prm_runtime.tracking.tracks.Tracks`.

    Raises:
        PrmError: If the tracker is not installed (extra ``track``).
    """
    try:
        from prm_runtime.tracking.tracks import Tracks
    except ImportError as error:
        raise PrmError(f'tracking needs {error.name}; run: pip install "prm-edge[track]"') from None
    return Tracks(settings)
