"""Every kind of bundle that a network can become, run by the segmenter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.media import write_png
from tests.fixtures.small_nets import CLASSES, SmallNet

from prm_export.assemble import Assembled, Variant, assemble
from prm_export.errors import ExportError
from prm_export.material import Material
from prm_export.oracle import Oracle
from prm_export.precision import Precision
from prm_export.sizes import with_sizes
from prm_export.verify import packaged_picture
from prm_proposals.presets import NO_NETWORK
from prm_proposals.settings import RetrievalSettings
from prm_runtime.bundle import Bundle, write_bundle
from prm_runtime.console import PrmError
from prm_runtime.manifest import Preprocessing, Provenance
from prm_runtime.pipeline import run_pipeline
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result
from prm_runtime.sources import open_source

EVERYTHING = RetrievalSettings(
    presence=-1e6, peak_floor=-1e6, peak_ratio=-1e6, score_offset=-1e6, max_peaks=6
)
LANDSCAPE = draw_blobs()[0]
PORTRAIT = np.ascontiguousarray(np.rot90(LANDSCAPE))
FRAMES = [
    LANDSCAPE,
    np.ascontiguousarray(LANDSCAPE[:, ::-1]),
    np.ascontiguousarray(LANDSCAPE[::-1]),
    PORTRAIT,
]


@pytest.fixture(scope="module")
def material() -> Material:
    """A small network of stride 8 for pictures of up to 96 pixels."""
    net = SmallNet(3)
    stem = net.clip(net.conv("image", 16, pads=(0, 0, 1, 1), strides=(2, 2)), high=6.0)
    block = net.conv(net.clip(net.conv(stem, 32, (1, 1)), high=6.0), 16, (1, 1))
    below = net.relu(net.conv(net.add(block, stem), 24, strides=(2, 2), pads=(0, 0, 1, 1)))
    classifier = net.classifier(net.relu(net.conv(below, 32, strides=(2, 2), pads=(0, 0, 1, 1))))

    def by_torch(image: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        oracle = Oracle(classifier, np.zeros(3, np.float32))
        return oracle.run(image.numpy())["class_maps"].detach(), {}

    return Material(
        classifier=classifier,
        reference=by_torch,
        classes=tuple(f"class {n}" for n in range(CLASSES)),
        preprocessing=with_sizes(
            Preprocessing(size=96, mean=(127, 127, 127), std=(64, 64, 64)), None, True, None
        ),
        aggregation={"name": "peak"},
        provenance=Provenance(prm_edge_version="0", created="today"),
        proposals=NO_NETWORK,
        retrieval=EVERYTHING,
        max_peaks=16,
    )


def built(material: Material, **variant: object) -> Assembled:
    calibration = FRAMES if variant.get("precision") is Precision.int8 else ()
    assembled = assemble("small", material, Variant(**variant), packaged_picture(), calibration)
    assert [check for check in assembled.checks if not check.passed] == []
    return assembled


def segmenter(assembled: Assembled, folder: Path, engine: str = "onnxruntime", **options: bool) -> Segmenter:
    path = folder / "small.prm"
    write_bundle(path, assembled.manifest, assembled.members)
    return Segmenter.open(path, engine, threads=1, **options)


def fixed(material: Material, size: str) -> Material:
    return replace(material, preprocessing=with_sizes(material.preprocessing, size, False, None))


def assert_same_evidence(a: Segmenter, b: Segmenter, frame: NDArray[np.uint8]) -> None:
    left, right = a.evidence(frame), b.evidence(frame)
    np.testing.assert_array_equal(left.peaks, right.peaks)
    np.testing.assert_allclose(left.class_maps, right.class_maps, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(left.prms, right.prms, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_frames_of_a_fixed_size_are_stretched_to_it(material: Material, tmp_path: Path, engine: str) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    assembled = built(fixed(material, "64x96"))
    manifest = assembled.manifest
    for graph in manifest.graphs:
        shapes = [tensor.shape for tensor in (*graph.inputs, *graph.outputs)]
        assert {side for shape in shapes for side in shape if isinstance(side, str)} <= {"peaks"}
    assert manifest.forward.inputs[0].shape == (1, 3, 64, 96)
    assert manifest.backprop.outputs[0].shape == ("peaks", 32, 48)
    profile = manifest.preprocessing.profile
    assert profile is not None
    assert profile.is_fixed
    small = segmenter(assembled, tmp_path, engine)
    for frame in (LANDSCAPE, PORTRAIT):
        evidence = small.evidence(frame)
        assert evidence.class_maps.shape == (CLASSES, 8, 12)
        assert evidence.prms.shape[1:] == (32, 48)
        assert small(frame).masks.shape[1:] == frame.shape[:2]
    stretched = segmenter(built(material), tmp_path)
    same_size = cv2.resize(LANDSCAPE, (96, 64), interpolation=cv2.INTER_AREA)
    assert_same_evidence(small, stretched, same_size)


def test_a_dynamic_bundle_says_what_sizes_to_prepare_for(material: Material, tmp_path: Path) -> None:
    manifest = built(material).manifest
    profile = manifest.preprocessing.profile
    assert profile is not None
    assert (profile.min, profile.opt, profile.max) == ((32, 32), (64, 96), (96, 96))
    assert manifest.forward.inputs[0].shape == (1, 3, "height", "width")


def test_batches_give_what_single_frames_give(material: Material, tmp_path: Path) -> None:
    single = segmenter(built(material), tmp_path)
    (tmp_path / "batch").mkdir()
    batched = built(material, batch=2)
    assert batched.manifest.batch == 2
    assert batched.manifest.forward.inputs[0].shape == (2, 3, "height", "width")
    assert any("mirrored" in check.name for check in batched.checks)
    double = segmenter(batched, tmp_path / "batch")
    assert (single.batch, double.batch) == (1, 2)
    for frame in FRAMES:
        assert_same_evidence(double, single, frame)
    found, expected = double.many(FRAMES), [single(frame) for frame in FRAMES]
    assert [len(instances) for instances in found] == [len(instances) for instances in expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.class_ids, b.class_ids)
        np.testing.assert_array_equal(a.masks, b.masks)


def test_a_folder_is_run_in_batches_in_its_order(material: Material, tmp_path: Path) -> None:
    for n, frame in enumerate(FRAMES):
        write_png(tmp_path / f"{n}.png", frame)
    found: list[Result] = []
    summary = run_pipeline(
        segmenter(built(material, batch=2), tmp_path),
        open_source(str(tmp_path)),
        [],
        should_stop=lambda: len(found) == 3,
        on_result=found.append,
    )
    assert summary.frames == 3  # it stops between frames, inside a batch or not
    assert [Path(result.frame.source).name for result in found] == ["0.png", "1.png", "2.png"]
    for result, frame in zip(found, FRAMES, strict=False):
        assert result.instances.masks.shape[1:] == frame.shape[:2]


def test_a_batch_has_one_call_for_frames_of_one_size(material: Material, tmp_path: Path) -> None:
    double = segmenter(built(fixed(material, "64x64"), batch=2), tmp_path)
    double.many(FRAMES)
    assert double.times.count("forward") == 1
    assert double.times.count("back-propagation") == len(FRAMES)


def test_the_fused_graph_is_used_when_asked_for(material: Material, tmp_path: Path) -> None:
    assembled = built(material, fused=True)
    assert assembled.manifest.fused is not None
    fused, two = segmenter(assembled, tmp_path, fused=True), segmenter(assembled, tmp_path)
    assert_same_evidence(fused, two, LANDSCAPE)


def test_a_bundle_without_it_says_how_to_get_it(material: Material, tmp_path: Path) -> None:
    with pytest.raises(PrmError, match="no fused graph in it; export it with --fused"):
        segmenter(built(material), tmp_path, fused=True)


def test_the_mode_is_recorded(material: Material) -> None:
    exact, shared = built(material).manifest.peaks, built(material, split_stride=4).manifest.peaks
    assert (exact.prm, exact.split_stride) == ("exact", None)
    assert (shared.prm, shared.split_stride) == ("shared", 4)
    early = built(material, stop_stride=4, stop_early=True, split_reach=1).manifest.peaks
    assert (early.prm, early.stop_early, early.split_stride, early.split_reach) == ("shared", True, None, 1)


@pytest.mark.parametrize("precision", [Precision.fp16, Precision.int8])
def test_lower_precision_runs_with_all_the_rest(
    material: Material, tmp_path: Path, precision: Precision
) -> None:
    assembled = built(material, precision=precision, fused=True)
    assert assembled.manifest.precision == precision.value
    fused, two = segmenter(assembled, tmp_path, fused=True), segmenter(assembled, tmp_path)
    assert_same_evidence(fused, two, LANDSCAPE)
    built(fixed(material, "96x64"), precision=precision, split_stride=8, batch=2)
    bundle = Bundle.open(tmp_path / "small.prm")
    assert set(bundle.manifest.sha256) == {"forward.onnx", "backprop.onnx", "fused.onnx"}


def test_int8_wants_pictures(material: Material) -> None:
    with pytest.raises(ExportError, match="--calibrate FOLDER"):
        assemble("small", material, Variant(precision=Precision.int8), packaged_picture())
