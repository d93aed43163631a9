"""Measurements of engines that were made before, per user."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, ValidationError

from prm_runtime.auto.candidates import ChoiceKey
from prm_runtime.auto.measure import Measured
from prm_runtime.engines.files import write_atomically

FOLDER_VARIABLE = "PRM_BACKEND_CACHE"


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    key: ChoiceKey
    seconds: dict[str, NonNegativeFloat]
    unusable: dict[str, str]


class ChoiceCache:
    """A folder of measurements, one file per key.

    Attributes:
        folder: The folder; created when something is stored.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Use a folder; None means ``$PRM_BACKEND_CACHE`` or the user's cache folder of this platform."""
        chosen = os.environ.get(FOLDER_VARIABLE)
        self.folder = folder or (Path(chosen) if chosen else user_cache_path("prm-edge") / "backends")

    def path(self, key: ChoiceKey) -> Path:
        """Where the measurement of this key is or will be."""
        digest = hashlib.sha256(key.model_dump_json().encode()).hexdigest()
        return self.folder / f"{key.graphs[0][:12]}-{digest[:16]}.json"

    def load(self, key: ChoiceKey) -> Measured | None:
        """The measurement of this key; None if there is none that is whole and of exactly this key."""
        try:
            stored = _Stored.model_validate_json(self.path(key).read_bytes())
        except (OSError, ValidationError):
            return None
        return Measured(stored.seconds, stored.unusable) if stored.key == key else None

    def store(self, key: ChoiceKey, measured: Measured) -> None:
        """Keep a measurement, replacing whatever stood under its key.

        Raises:
            OSError: If the folder cannot be written.
        """
        stored = _Stored(key=key, seconds=measured.seconds, unusable=measured.unusable)
        write_atomically(self.path(key), stored.model_dump_json(indent=1).encode())
