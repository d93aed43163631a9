"""A bundle's network exported again: the same network, in graphs of another kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.fixtures.command_line import Command
from tests.fixtures.networks import Network

from prm_export.pipeline import Graphs, build_graphs
from prm_export.reexport import classifier_of
from prm_proposals.settings import RetrievalSettings
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle, shipped_bundle, with_manifest

pytestmark = pytest.mark.usefixtures("ready_classifier")
TUNED = RetrievalSettings(presence=-3.0, class_offsets=(1.0, 2.0, 3.0), class_scales=(1.0, 1.0, 2.0))


@pytest.fixture(scope="module")
def graphs(tiny: Network) -> Graphs:
    return build_graphs(tiny.classifier, tiny.options())


@pytest.fixture
def bundle(prm_export: Command, checkpoint: Path, tmp_path: Path) -> Path:
    """A bundle with settings of its own, made of a checkpoint."""
    path = tmp_path / "first.prm"
    assert prm_export(checkpoint, "-o", path, "--max-peaks", 8, "--window", 5).code == 0
    made = Bundle.open(path)
    with_manifest(made, made.manifest.model_copy(update={"retrieval": TUNED}), path)
    return path


def test_nothing_that_passes_added_is_left(tiny: Network, graphs: Graphs) -> None:
    classifier = classifier_of(graphs.forward)
    names = [value.name for value in classifier.graph.output]
    assert names == ["class_maps", *tiny.model.feature_names, "class_scores"]
    assert not classifier.functions
    stored = {tensor.data_type for tensor in classifier.graph.initializer}
    assert onnx.TensorProto.FLOAT16 not in stored
    assert len(classifier.graph.node) < len(graphs.forward.graph.node)
    assert not [node for node in classifier.graph.node if node.output[0].startswith("gain_")]


@pytest.mark.parametrize("sides", [(64, 96), (128, 64)])
@pytest.mark.parametrize("count", [1, 2])
def test_the_classifier_computes_what_the_forward_graph_does(
    tiny: Network, graphs: Graphs, sides: tuple[int, int], count: int
) -> None:
    backend = create_backend("onnxruntime", 1)
    alone = backend.compile(classifier_of(graphs.forward).SerializeToString())
    whole = backend.compile(graphs.forward.SerializeToString())
    images = [tiny.image(*sides, seed) for seed in range(count)]
    found = alone.run({"image": np.concatenate(images)})
    for n, image in enumerate(images):
        expected = whole.run({"image": image})
        for name, value in found.items():
            np.testing.assert_allclose(value[n], expected[name][0], rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_second_export_gives_the_graphs_of_the_first(tiny: Network, graphs: Graphs) -> None:
    again = build_graphs(classifier_of(graphs.forward), tiny.options(aggregation=None))
    backend, image = create_backend("onnxruntime", 1), tiny.image(96, 128)
    before, after = (
        backend.compile(g.forward.SerializeToString()).run({"image": image}) for g in (graphs, again)
    )
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    gains = {name: value for name, value in before.items() if name.startswith("gain_")}
    peaks = before["peaks"][0, :3]
    prms, same = (
        backend.compile(g.backprop.SerializeToString()).run({"peaks": peaks, **gains})["prms"]
        for g in (graphs, again)
    )
    np.testing.assert_allclose(same, prms, atol=1e-7)


def test_a_bundle_keeps_what_its_manifest_says(prm_export: Command, bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "second.prm"
    options = "--prm shared --split-stride 8 --stop-stride 4 --fixed --size 96x128 --batch 2"
    result = prm_export(bundle, "-o", output, *options.split())
    assert result.code == 0, result.err
    assert "class maps vs first.prm" in result.err
    before, after = Bundle.open(bundle).manifest, Bundle.open(output).manifest
    assert after.retrieval == TUNED
    assert (after.classes, after.proposals) == (before.classes, before.proposals)
    assert (after.peaks.window, after.peaks.max_peaks) == (5, 8)
    assert (after.peaks.prm, after.peaks.stop_stride, after.batch) == ("shared", 4, 2)
    assert after.preprocessing.mean == before.preprocessing.mean
    assert after.provenance.metrics == before.provenance.metrics
    assert after.provenance.created == before.provenance.created
    assert after.provenance.metrics_protocol == "measured before it was exported again"
    third = tmp_path / "third.prm"
    result = prm_export(output, "-o", third, "--stop-stride", 2)  # back from two images of one size
    assert result.code == 0, result.err
    assert Bundle.open(third).manifest.batch == 1
    assert Bundle.open(third).manifest.provenance == after.provenance


def test_the_shipped_model_is_exported_again(prm_export: Command, tmp_path: Path) -> None:
    output = tmp_path / "again.prm"
    result = prm_export(shipped_bundle(), "-o", output, "--size", 224)
    assert result.code == 0, result.err
    before, after = Bundle.open(shipped_bundle()).manifest, Bundle.open(output).manifest
    assert after.preprocessing.size == 224
    assert [spec.name for spec in after.forward.outputs if not spec.name.startswith("gain_")] == [
        spec.name for spec in before.forward.outputs if not spec.name.startswith("gain_")
    ]


@pytest.mark.parametrize(
    ("made", "again", "message"),
    [
        (["--precision", "fp16"], [], "computes in fp16, its weights are rounded: give the bundle in fp32"),
        ([], ["--rule", "reference"], "has its batch norm folded, which --rule reference wants apart"),
        ([], ["--mean", "1"], "checkpoints and bundles know their own"),
    ],
)
def test_what_cannot_be_exported_again_is_said(
    prm_export: Command, checkpoint: Path, tmp_path: Path, made: list[str], again: list[str], message: str
) -> None:
    first, second = tmp_path / "first.prm", tmp_path / "second.prm"
    assert prm_export(checkpoint, "-o", first, *made).code == 0
    result = prm_export(first, "-o", second, *again)
    assert result.code == 1
    assert message in " ".join(result.err.split())
    assert not second.exists()


def test_a_missing_bundle_is_said(prm_export: Command, tmp_path: Path) -> None:
    result = prm_export(tmp_path / "no.prm", "-o", tmp_path / "x.prm")
    assert result.code == 1
    assert "no such bundle" in result.err
