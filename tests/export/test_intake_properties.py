"""Whatever small classifier is drawn: the graphs made of it equal the oracles."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.drawn_nets import SIDES, classifiers
from tests.fixtures.exporter_styles import CLASSES
from tests.fixtures.foreign_maps import MINIMUM, PREPROCESSING
from tests.fixtures.small_nets import Compiled

from prm_export.foreign import check_scores
from prm_export.intake.classifier import import_classifier
from prm_export.oracle import Oracle
from prm_export.pipeline import GraphOptions, build_graphs
from prm_export.rules import RULES

EXAMPLES = 12
TOLERANCE = 2e-3
"""Of a map's maximum: normalisers near zero amplify what float32 rounds."""


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(classifiers(), st.sampled_from(sorted(RULES)), st.sampled_from([1, 2]))
def test_graphs_equal_the_oracle(model: onnx.ModelProto, rules: str, stop_stride: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.save(model, path)
        foreign = import_classifier(path, CLASSES, rules=RULES[rules])
    assert check_scores(foreign, draw_blobs()[0], PREPROCESSING).error < 1e-4
    options = GraphOptions(MINIMUM, "average", stop_stride=stop_stride, half_weights=False, rules=rules)
    graphs = build_graphs(foreign.classifier, options)
    noise = np.random.default_rng(0).random((1, 3, *SIDES), np.float32)
    image = MINIMUM.reshape(1, 3, 1, 1) + 4 * noise  # pixels are never below the minimum
    peaks, found = Compiled(graphs).maps(image)
    oracle = Oracle(graphs.classifier, MINIMUM, rules=rules)
    values = oracle.run(image)
    expected = [oracle.response_map(values, tuple(peak), graphs.stop) for peak in peaks.tolist()]
    for prm, should in zip(found, expected, strict=True):
        assert np.abs(prm - should).max() <= TOLERANCE * max(should.max(), np.finfo(np.float32).tiny)
