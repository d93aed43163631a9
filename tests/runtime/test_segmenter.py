"""Algorithm 1 end to end on pictures with known answers."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.fixtures.colour_blobs import BLOBS, draw_blobs

from prm_runtime.bundle import Bundle, BundleError, write_bundle
from prm_runtime.console import PrmError
from prm_runtime.instances import Instances
from prm_runtime.masks import frame_masks
from prm_runtime.segmenter import Segmenter


def assert_identical(a: Instances, b: Instances) -> None:
    for field in fields(Instances):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("retrieval", ["walk", "eq6"])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_known_instances_are_found(colour_bundle: Path, backend: str, retrieval: str) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    image, masks = draw_blobs()
    found = Segmenter.open(colour_bundle, backend, retrieval=retrieval)(image)
    assert sorted(found.labels) == sorted(blob.label for blob in BLOBS)
    assert (found.scores > 0.9).all()
    matched = set()
    for n, label in enumerate(found.labels):
        overlaps = [iou(found.masks[n], mask) for mask in masks]
        best = int(np.argmax(overlaps))
        matched.add(best)
        assert overlaps[best] > 0.93
        assert BLOBS[best].label == label
        x, y = found.peaks[n]
        assert np.hypot(x - BLOBS[best].x, y - BLOBS[best].y) < 32
        box = (BLOBS[best].x, BLOBS[best].y) * 2 + np.float64([-1, -1, 1, 1]) * BLOBS[best].radius
        np.testing.assert_allclose(found.boxes[n], box, atol=4)
        assert found.prms is not None
        assert found.prms[n].sum() == pytest.approx(1, abs=1e-4)
    assert matched == {0, 1, 2}


def test_backends_agree(colour_bundle: Path) -> None:
    pytest.importorskip("openvino")
    image, _ = draw_blobs()
    a, b = (Segmenter.open(colour_bundle, name).evidence(image) for name in ("onnxruntime", "openvino"))
    np.testing.assert_array_equal(a.peaks, b.peaks)
    np.testing.assert_allclose(a.class_maps, b.class_maps, atol=1e-4)
    np.testing.assert_allclose(a.prms, b.prms, atol=1e-3 * float(a.prms.max()))


def test_openvino_takes_frames_of_changing_size_and_peak_count(colour_bundle: Path) -> None:
    pytest.importorskip("openvino")
    segmenter = Segmenter.open(colour_bundle, "openvino")
    image, _ = draw_blobs()
    one, _ = draw_blobs(BLOBS[:1])
    assert [len(segmenter(frame)) for frame in (image, one, image[:, :240], image)] == [3, 1, 1, 3]


def test_equal_frames_give_equal_results(colour_segmenter: Segmenter) -> None:
    image, _ = draw_blobs()
    other, _ = draw_blobs(BLOBS[1:])
    first = colour_segmenter(image)
    colour_segmenter(other)
    assert_identical(first, colour_segmenter(image.copy()))


def test_a_frame_without_peaks_costs_no_superpixels_where_only_instances_are_wanted(
    colour_bundle: Path,
) -> None:
    segmenter = Segmenter.open(colour_bundle)
    empty, image = draw_blobs(())[0], draw_blobs()[0]
    assert len(segmenter(empty)) == len(segmenter.many([empty])[0]) == 0
    assert segmenter.times.count("proposals") == 0
    lean, full = segmenter.evidences([empty, image], lean=True)
    assert lean.graph.count == 1
    assert full.graph.count > 1
    assert segmenter.evidence(empty).graph.count > 1  # who asks for evidence gets all of it
    assert_identical(segmenter.retrieve(lean, empty.shape[:2]), segmenter(empty))


def test_classes_filter_keeps_the_masks_of_the_others_out(
    colour_bundle: Path, colour_segmenter: Segmenter
) -> None:
    image, _ = draw_blobs()
    everything = colour_segmenter(image)
    red = Segmenter.open(colour_bundle, classes=["Red"])(image)
    assert_identical(red, everything.select(everything.class_ids == 0))


def test_min_score(colour_bundle: Path, colour_segmenter: Segmenter) -> None:
    image, _ = draw_blobs()
    scores = colour_segmenter(image).scores
    strict = Segmenter.open(colour_bundle, min_score=float(scores[1]))(image)
    assert len(strict) == (scores >= scores[1]).sum()


def test_nothing_to_find(colour_segmenter: Segmenter) -> None:
    image, _ = draw_blobs(())
    empty = colour_segmenter(image)
    assert len(empty) == 0
    assert empty.masks.shape == (0, *image.shape[:2])


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 500, 3), (900, 33, 3)])
def test_frames_of_any_size(colour_segmenter: Segmenter, shape: tuple[int, ...]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert colour_segmenter(frame).masks.shape[1:] == shape[:2]


@pytest.mark.parametrize(
    "frame",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3))],
)
def test_a_wrong_frame_is_named(colour_segmenter: Segmenter, frame: np.ndarray) -> None:
    with pytest.raises(PrmError, match=r"a frame must be RGB, uint8 \[H, W, 3\], got"):
        colour_segmenter(frame)


def test_without_a_mask_head_there_are_no_mask_logits(colour_segmenter: Segmenter) -> None:
    assert colour_segmenter.evidence(draw_blobs()[0]).mask_logits is None


def test_a_graph_without_a_needed_output_is_named(colour_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(colour_bundle)
    outputs = tuple(spec for spec in bundle.manifest.forward.outputs if spec.name != "block4")
    forward = bundle.manifest.forward.model_copy(update={"outputs": outputs})
    members = {name: bundle.read(name) for name in bundle.manifest.sha256}
    write_bundle(tmp_path / "x.prm", bundle.manifest.model_copy(update={"forward": forward}), members)
    with pytest.raises(BundleError, match="the forward graph lacks block4"):
        Segmenter.open(tmp_path / "x.prm")


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("onnxruntime", r"forward\.onnx: ONNX Runtime .* cannot load the graph"),
        ("openvino", r"forward\.onnx: OpenVINO .* cannot read the graph"),
    ],
)
def test_a_graph_that_no_engine_can_load_is_an_error_for_people(
    colour_bundle: Path, tmp_path: Path, backend: str, message: str
) -> None:
    pytest.importorskip(backend)
    bundle = Bundle.open(colour_bundle)
    unknown = bundle.read("forward.onnx").replace(b"ReduceMax", b"ReduceMix")
    members = {"forward.onnx": unknown, "backprop.onnx": bundle.read("backprop.onnx")}
    write_bundle(tmp_path / "x.prm", bundle.manifest, members)
    with pytest.raises(BundleError, match=message) as error:
        Segmenter.open(tmp_path / "x.prm", backend)
    assert "\n" not in str(error.value)


def test_frame_masks_are_smooth_and_keep_the_area() -> None:
    labels = np.zeros((60, 80), np.int32)
    cv2.circle(labels, (40, 30), 20, 1, cv2.FILLED)
    members = np.array([[False, True], [True, False]])
    inside, outside = frame_masks(members, labels, (600, 800))
    assert (inside ^ outside).all()
    assert inside.mean() == pytest.approx((labels == 1).mean(), rel=0.01)
    # Nearest-neighbour enlargement would leave steps as long as the enlargement along the whole outline.
    (contour,), _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    radius = np.hypot(*(contour[:, 0] - [404.5, 304.5]).T)
    assert np.ptp(radius) < 10


def test_running_a_frame_imports_neither_torch_nor_onnx(colour_bundle: Path) -> None:
    """And the command line pins the BLAS threads before numpy reads their number."""
    code = (
        "import os, sys\n"
        "class Spy:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        assert name != 'numpy' or os.environ.get('OPENBLAS_NUM_THREADS') == '1'\n"
        "sys.meta_path.insert(0, Spy)\n"
        "import prm_runtime.cli\n"
        "import numpy as np\n"
        "from prm_runtime.segmenter import Segmenter\n"
        f"Segmenter.open({str(colour_bundle)!r})(np.zeros((64, 64, 3), np.uint8))\n"
        "print([name for name in ('torch', 'onnx', 'openvino') if name in sys.modules])\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert result.stdout.strip() == "[]", result.stderr
