"""What every data set is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Sample:
    """A picture and its image-level labels.

    Attributes:
        id: Name of the picture, unique in its data set.
        image_path: Where the picture lies; it need not exist before ``check_dataset`` has said so.
        labels: Names of the classes in the picture; may name classes that the data set does not know.
    """

    id: str
    image_path: Path
    labels: frozenset[str]


class Dataset(Protocol):
    """Pictures with image-level labels; ``classes[i]`` is the name of class id ``i``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""

    @property
    def samples(self) -> Sequence[Sample]:
        """The pictures of the split."""
