"""Where commands take a network from, and whether they may write."""

from __future__ import annotations

import os
from pathlib import Path

from prm_export.classifier import export_classifier
from prm_export.errors import ExportError
from prm_export.material import Material
from prm_export.provenance import provenance
from prm_export.reexport import bundle_material
from prm_export.rules import RULES
from prm_proposals.presets import for_taps
from prm_runtime.bundle import find_bundle
from prm_runtime.console import stderr
from prm_runtime.manifest import Preprocessing
from prm_train.checkpoint import load_checkpoint

SUFFIX = ".prm"


def network_of(source: Path, rules: str = "paper") -> Material:
    """The network of a checkpoint (a folder), a bundle, or a shipped bundle by its name.

    Args:
        source: Where it is.
        rules: How its peaks will be back-propagated, a key of ``prm_export.rules.RULES``.

    Raises:
        PrmError: If it cannot be used.
    """
    source = find_bundle(source)
    read = checkpoint_material if source.suffix != SUFFIX or source.is_dir() else bundle_material
    return read(source, rules)


def checkpoint_material(folder: Path, rules: str = "paper") -> Material:
    """The network of a checkpoint; arguments as for :func:`network_of`."""
    model, config = load_checkpoint(folder)
    known = provenance(config.backbone, config.provenance)
    with stderr.status("exporting the classifier"):
        classifier = export_classifier(model, optimize=RULES[rules].folds)
    return Material(
        classifier=classifier,
        reference=model.forward_with_features,
        classes=config.classes,
        preprocessing=Preprocessing(size=config.input_size, mean=config.mean, std=config.std),
        aggregation=config.aggregation,
        provenance=known,
        proposals=for_taps(config.taps),
    )


def check_output(path: Path, example: str = f"NAME{SUFFIX}") -> None:
    """Fail now rather than after all the work.

    Raises:
        ExportError: If the file cannot be written.
    """
    if path.is_dir():
        raise ExportError(f"{path} is a folder: give the file to write, such as {path / example}")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ExportError(f"{path} cannot be written: {nearest} is no folder that you may write to")
