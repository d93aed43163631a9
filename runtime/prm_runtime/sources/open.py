"""From what a user writes to a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prm_runtime.sources.base import Source
from prm_runtime.sources.camera import open_camera
from prm_runtime.sources.decoding import SOFTWARE
from prm_runtime.sources.errors import NotFoundError, SourceError
from prm_runtime.sources.live import Patience
from prm_runtime.sources.pictures import SUFFIXES, Pictures, from_folder, from_glob
from prm_runtime.sources.pipe import STDIN, RawFormat, RawPipe
from prm_runtime.sources.stream import Stream
from prm_runtime.sources.uri import is_uri
from prm_runtime.sources.video import Video


@dataclass(frozen=True)
class SourceOptions:
    """How sources are read.

    Attributes:
        patience: How long live sources are waited for.
        decoder: What decodes video, see :func:`~prm_runtime.sources.decoding.open_container`.
        stdin: How frames lie in standard input; None where it is no source.
    """

    patience: Patience = field(default_factory=Patience)
    decoder: str = SOFTWARE
    stdin: RawFormat | None = None


def open_source(location: str, options: SourceOptions | None = None) -> Source:
    """Open a picture, folder, glob, video file, MCAP recording, stream URI, camera or ``-``.

    Cameras and streams are not called before they are iterated: one that cannot be had ends alone.

    Raises:
        SourceError: If there is no such file or it cannot be read.
    """
    options = options or SourceOptions()
    path, topic = _recording(location)
    if location == STDIN:
        if options.stdin is None:
            raise SourceError("-: raw frames need their size; add --stdin-size WIDTHxHEIGHT")
        return RawPipe(options.stdin)
    if is_uri(location):
        return Stream(location, options.patience, options.decoder)
    if location.isdigit() or _is_device(path):
        return open_camera(location, options.patience)
    if path.is_dir():
        return from_folder(path)
    if path.suffix.lower() == ".mcap" and path.is_file():
        from prm_runtime.sources.recording import Recording  # an extra

        return Recording(path, topic)
    if path.is_file():
        return (
            Pictures(location, [path])
            if path.suffix.lower() in SUFFIXES
            else Video.open(location, options.decoder)
        )
    if any(character in location for character in "*?["):
        return from_glob(location)
    raise NotFoundError(
        f"{location}: no such file; expected a picture, folder, glob, video, MCAP recording, camera number "
        "or path, stream URI, or - for raw frames"
    )


def open_sources(locations: Sequence[str], options: SourceOptions | None = None) -> list[Source]:
    """Open several sources; of a recording all its image topics, each as a source.

    Raises:
        SourceError: If two of them have the same name, or one cannot be opened.
    """
    sources = [open_source(part, options) for location in locations for part in _parts(location)]
    names = [source.name for source in sources]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SourceError(f"{twice[0]}: given twice; results could not tell the two apart")
    return sources


def _parts(location: str) -> list[str]:
    path, topic = _recording(location)
    if topic is not None or path.suffix.lower() != ".mcap" or not path.is_file():
        return [location]
    from prm_runtime.sources.recording import image_topics

    topics = image_topics(path)
    return [location] if len(topics) == 1 else [f"{location}#{topic}" for topic in topics]


def _is_device(path: Path) -> bool:
    try:
        return path.is_char_device()
    except OSError:  # e.g. a name too long for a path
        return False


def _recording(location: str) -> tuple[Path, str | None]:
    """The file of ``rec.mcap#/camera/image``, and its topic."""
    file, mark, topic = location.partition("#")
    if mark and file.lower().endswith(".mcap"):
        return Path(file), topic
    return Path(location), None
