"""Masks of ONNX models, on models whose masks are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.fixtures.mask_models import write_colour_model, write_constant_model

from prm_proposals.generator import ProposalGenerator
from prm_proposals.onnx_masks import MAX_MASKS, OnnxMasks
from prm_proposals.picture import Picture, ProposalError
from prm_proposals.regions import region_graph


def checkerboard(size: tuple[int, int], cell: int = 8) -> np.ndarray:
    """Square superpixels, int32 [h, w]."""
    rows, columns = (np.arange(side) // cell for side in size)
    return (rows[:, None] * (columns[-1] + 1) + columns).astype(np.int32)


def square_picture(size: tuple[int, int] = (64, 64)) -> Picture:
    """A black picture with superpixels of 8 x 8 pixels."""
    image = np.zeros((*size, 3), np.uint8)
    return Picture(image, region_graph(image, checkerboard(size)), {})


def box_mask(top: int, left: int, bottom: int, right: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def yolo_outputs(boxes, scores, coefficients, prototypes) -> dict[str, np.ndarray]:
    """Detections [1, 4 + classes + M, A] and prototypes [1, M, h, w]."""
    rows = np.concatenate([np.array(boxes).T, np.array(scores).T, np.array(coefficients).T])
    return {"output0": rows[None].astype(np.float32), "output1": prototypes[None].astype(np.float32)}


@pytest.mark.parametrize(
    "shape", [(1, 3, "H", "W"), (1, 3, 320, 320), (1, 3, 192, 448), ("N", "C", 500, 500)]
)
@pytest.mark.parametrize("size", [(240, 320), (320, 200), (120, 640)])
def test_masks_lie_where_the_picture_has_them(tmp_path, shape, size: tuple[int, int]):
    image = np.zeros((*size, 3), np.uint8)
    truth = np.zeros((3, *size), bool)
    for channel, x in enumerate((0.2, 0.5, 0.8)):
        centre = (round(x * size[1]), round((0.25 + 0.2 * channel) * size[0]))
        blob = cv2.circle(np.zeros(size, np.uint8), centre, min(size) // 8, 1, cv2.FILLED) > 0
        image[blob, channel] = 255
        truth[channel] = blob
    graph = ProposalGenerator().regions(image)
    gallery = OnnxMasks(write_colour_model(tmp_path / "m.onnx", shape), threads=1)(Picture(image, graph, {}))
    assert gallery.labels is graph.labels
    assert len(gallery) == 3
    height, width = graph.labels.shape
    for mask, blob in zip(gallery.masks(), truth, strict=True):
        expected = cv2.resize(blob.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA) > 0
        assert (mask & expected).sum() / (mask | expected).sum() > 0.85


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("kind", [np.float32, np.uint8, bool])
def test_plain_masks_are_taken_in_order_of_their_scores(tmp_path, batch: bool, kind: type):
    masks = np.stack([box_mask(0, 0, 16, 16), box_mask(16, 16, 64, 32), box_mask(8, 40, 24, 64)])
    scores = np.array([0.3, 0.9, 0.5], np.float32)
    outputs = {"masks": masks.astype(kind), "scores": scores}
    if batch:
        outputs = {name: value[None] for name, value in outputs.items()}
    source = OnnxMasks(write_constant_model(tmp_path / "m.onnx", outputs))
    assert np.array_equal(source(square_picture()).masks(), masks[[1, 2, 0]])
    del outputs["scores"]
    source = OnnxMasks(write_constant_model(tmp_path / "m.onnx", outputs))
    assert np.array_equal(source(square_picture()).masks(), masks)


def test_no_more_masks_than_promised(tmp_path):
    masks = np.ones((MAX_MASKS + 5, 8, 8), np.float32)
    source = OnnxMasks(write_constant_model(tmp_path / "m.onnx", {"masks": masks}))
    assert len(source(square_picture())) == MAX_MASKS


def test_yolo_masks_are_combined_cut_to_their_boxes_and_ordered(tmp_path):
    left = np.where(box_mask(0, 0, 16, 8, (16, 16)), 5.0, -5.0)
    top = np.where(box_mask(0, 0, 8, 16, (16, 16)), 5.0, -5.0)
    boxes = [[32, 32, 64, 64], [32, 32, 64, 64], [16, 48, 32, 32], [32, 32, 64, 64]]
    scores = [[0.5, 0.1], [0.2, 0.9], [0.7, 0.0], [0.24, 0.1]]  # two classes; the last one is not sure enough
    coefficients = [[1, 0], [-1, 0], [0, -1], [1, 1]]
    # The second box equals the first one, so one of the two falls to suppression; the better one is kept.
    outputs = yolo_outputs(boxes, scores, coefficients, np.stack([left, top]))
    masks = OnnxMasks(write_constant_model(tmp_path / "m.onnx", outputs))(square_picture()).masks()
    assert np.array_equal(masks, [box_mask(0, 32, 64, 64), box_mask(32, 0, 64, 32)])


def test_yolo_masks_are_combinations_of_prototypes(tmp_path):
    rng = np.random.default_rng(0)
    prototypes = np.kron(rng.normal(size=(4, 8, 8)), np.ones((2, 2)))
    boxes = [[16, 16, 32, 32], [44, 40, 40, 48], [32, 32, 64, 64]]
    coefficients = rng.normal(size=(3, 4))
    outputs = yolo_outputs(boxes, [[0.9], [0.8], [0.7]], coefficients, prototypes)
    picture = square_picture()
    gallery = OnnxMasks(write_constant_model(tmp_path / "m.onnx", outputs))(picture)
    for n, (x, y, width, height) in enumerate(boxes):
        logits = np.kron(
            sum(c * p for c, p in zip(coefficients[n], prototypes, strict=True)), np.ones((4, 4))
        )
        box = box_mask(y - height // 2, x - width // 2, y + height // 2, x + width // 2)
        assert np.array_equal(gallery.masks([n])[0], (logits > 0) & box)


def test_yolo_sees_the_picture_only_in_its_part_of_the_input(tmp_path):
    """A picture half as high as wide fills the upper half of a square input."""
    outputs = yolo_outputs([[32, 32, 64, 64]], [[0.9]], [[1]], np.ones((1, 16, 16)))
    gallery = OnnxMasks(write_constant_model(tmp_path / "m.onnx", outputs))(square_picture((32, 64)))
    assert gallery.masks().all()
    outputs = yolo_outputs([[32, 48, 64, 32]], [[0.9]], [[1]], np.ones((1, 16, 16)))
    assert len(OnnxMasks(write_constant_model(tmp_path / "m.onnx", outputs))(square_picture((32, 64)))) == 0


def test_nothing_found_is_an_empty_gallery(tmp_path):
    nothing = yolo_outputs([[32, 32, 64, 64]], [[0.1]], [[1]], np.ones((1, 16, 16)))
    for outputs in (nothing, {"masks": np.zeros((0, 16, 16), np.float32)}):
        gallery = OnnxMasks(write_constant_model(tmp_path / "m.onnx", outputs))(square_picture())
        assert gallery.members.shape == (0, 64)


@pytest.mark.parametrize(
    "outputs",
    [
        {"masks": np.zeros((2, 3, 16, 16), np.float32)},
        {"masks": np.zeros((), np.float32)},
        {"masks": np.zeros((2, 16, 16), np.float32), "scores": np.zeros(3, np.float32)},
        {"logits": np.zeros((1, 1000), np.float32)},
        {"a": np.zeros((1, 40, 9), np.float32)},
        {"a": np.zeros((1, 36, 9), np.float32), "b": np.zeros((1, 32, 4, 4), np.float32)},  # no class
        {"a": np.zeros((1, 300, 38), np.float32), "b": np.zeros((1, 32, 4, 4), np.float32)},  # with NMS
        {"a": np.zeros((2, 38, 9), np.float32), "b": np.zeros((1, 32, 4, 4), np.float32)},
    ],
)
def test_other_outputs_are_explained(tmp_path, outputs):
    source = OnnxMasks(write_constant_model(tmp_path / "m.onnx", outputs))
    with pytest.raises(ProposalError, match=r'm\.onnx: expected "masks" .* exported without NMS; found') as e:
        source(square_picture())
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (2, 3, 64, 64), (1, 3, 64), (1, 64, 64, 3)])
def test_other_inputs_are_explained(tmp_path, shape):
    path = write_colour_model(tmp_path / "m.onnx", shape)
    with pytest.raises(
        ProposalError, match=r"expected one input, float32 \[1, 3, H, W\], found tensor\(float\)"
    ):
        OnnxMasks(path)


def test_files_that_are_no_models_are_explained(tmp_path):
    with pytest.raises(ProposalError, match=r"none\.onnx: no such file"):
        OnnxMasks(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(ProposalError, match=r"bad\.onnx: ONNX Runtime .* cannot load it: "):
        OnnxMasks(tmp_path / "bad.onnx")
