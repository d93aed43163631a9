"""ONNX files of all styles become classifiers whose scores and Peak Response Maps are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.fixtures import exporter_styles
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.exporter_styles import torch_net
from tests.fixtures.foreign_maps import PREPROCESSING, agreement
from tests.fixtures.torch_zoo import CLASSES, ZOO
from tests.fixtures.zoo_files import write_zoo_file

from prm_export.foreign import check_scores
from prm_export.intake.classifier import import_classifier

EXPORTERS = {"traced": (13, False), "old": (9, False), "new": (18, True)}
STYLES: dict[str, Callable[[Path], Path]] = {
    "Keras": exporter_styles.keras_net,
    "Keras, new opset": lambda path: exporter_styles.keras_net(path, 18),
    "Keras, flattened": exporter_styles.keras_vgg,
    "Paddle": exporter_styles.paddle_net,
}


def assert_right(path: Path, classes: int) -> None:
    foreign = import_classifier(path, classes)
    assert check_scores(foreign, draw_blobs()[0], PREPROCESSING).error < 1e-4
    error, correlation = agreement(foreign)
    assert error < 1e-3
    assert correlation >= 0.9999


@pytest.mark.parametrize("name", ZOO)
def test_families(name: str, tmp_path: Path) -> None:
    assert_right(torch_net(ZOO[name](), tmp_path / "net.onnx"), CLASSES)


@pytest.mark.parametrize("name", ["MobileNetV3-like", "ShuffleNetV2-like", "VGG-like"])
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_exporters(name: str, exporter: str, tmp_path: Path) -> None:
    opset, dynamo = EXPORTERS[exporter]
    assert_right(torch_net(ZOO[name](), tmp_path / "net.onnx", opset, dynamo), CLASSES)


@pytest.mark.parametrize("style", STYLES)
def test_styles(style: str, tmp_path: Path) -> None:
    assert_right(STYLES[style](tmp_path / "net.onnx"), exporter_styles.CLASSES)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_files_that_others_made(name: str, tmp_path: Path) -> None:
    assert_right(write_zoo_file(name, tmp_path), 24)


def test_scores_that_are_wrong_are_noticed(tmp_path: Path) -> None:
    path = torch_net(ZOO["ResNet-like"](), tmp_path / "net.onnx")
    foreign = import_classifier(path, CLASSES)
    weights = foreign.classifier.graph.initializer[0]
    weights.raw_data = (np.frombuffer(weights.raw_data, np.float32) * 1.1).astype(np.float32).tobytes()
    assert not check_scores(foreign, draw_blobs()[0], PREPROCESSING).passed
