"""Segment proposals of any ONNX model of class-agnostic masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_proposals.gallery import Gallery
from prm_proposals.picture import Picture, ProposalError

DEFAULT_SIDE = 640  # of models that leave theirs open
MULTIPLE = 32  # the picture's part of the input divides by the stride of any usual network
MAX_MASKS = 300
MIN_SCORE = 0.25  # of raw detections; low, for it is retrieval that chooses
BOX_NMS_IOU = 0.9
_PADDING = 114  # the grey that YOLO models are trained with
_OUTPUTS = (
    'expected "masks" [N, h, w] or [1, N, h, w] with optional "scores", or the two outputs of a YOLO '
    "segmentation network, [1, 4 + classes + M, A] and [1, M, h, w], exported without NMS"
)


class OnnxMasks:
    """Runs an ONNX model on each picture, with ONNX Runtime on the CPU.

    **Input**: one, float32 [1, 3, H, W] (H and W may be left open), RGB in 0..1; any other normalisation
    belongs into the model. The picture fills the input from its upper left corner, scaled to fit and
    stretched so that both sides divide by 32; the rest is grey.

    **Output**: either ``masks`` [N, h, w] or [1, N, h, w] over the whole input, inside where > 0.5 (values
    0/1, 0/255 or probabilities, not logits), with optional ``scores`` [N] or [1, N] to order them; or what a
    YOLO segmentation network such as FastSAM gives: [1, 4 + classes + M, A] with boxes (x, y of the centre,
    width, height, in pixels of the input), scores per class and M mask coefficients for each of A anchors,
    and prototypes [1, M, h, w]. Classes are ignored: the score of an anchor is its highest.

    At most 300 masks are kept, best first, and fitted to the superpixels (:meth:`Gallery.fit`). Masks much
    finer than the superpixels' grid gain nothing and cost time, for all their pixels are sorted.
    """

    feature_names: tuple[str, ...] = ()

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        """Load the model.

        Args:
            path: The ``.onnx`` file.
            threads: CPU threads; None leaves the choice to ONNX Runtime.

        Raises:
            ProposalError: If there is no such file, ONNX Runtime is not installed or cannot load it, or the
                input is not as above.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise ProposalError(f"{path}: no such file; expected an ONNX model of class-agnostic masks")
        try:
            import onnxruntime  # imported here: no other source of proposals needs an engine
        except ImportError as error:
            raise ProposalError("ONNX masks need onnxruntime; run: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        # Threads that spin after a run would compete with the retrieval for the same cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                str(self.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exception types have no common base of their own
            reason = str(error).splitlines()[0]
            raise ProposalError(
                f"{path}: ONNX Runtime {onnxruntime.__version__} cannot load it: {reason}"
            ) from error
        inputs = [(value.type, value.shape) for value in self._session.get_inputs()]
        if len(inputs) != 1 or inputs[0][0] != "tensor(float)" or not _is_picture(inputs[0][1]):
            found = ", ".join(f"{kind} {shape}" for kind, shape in inputs)
            raise ProposalError(f"{path}: expected one input, float32 [1, 3, H, W], found {found or 'none'}")
        self._sides = [side if isinstance(side, int) else None for side in inputs[0][1][2:]]

    def __call__(self, picture: Picture) -> Gallery:
        """Proposals of this picture; see :class:`~prm_proposals.picture.ProposalSource`."""
        canvas, (height, width) = _fill_input(picture.image, self._sides)
        outputs = self._run(canvas)
        masks = _plain_masks(outputs) if "masks" in outputs else _yolo_masks(outputs, canvas.shape[2:])
        if masks is None:
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in outputs.items())
            raise ProposalError(f"{self.path}: {_OUTPUTS}; found {shapes}")
        rows = max(1, round(height * masks.shape[1] / canvas.shape[2]))
        columns = max(1, round(width * masks.shape[2] / canvas.shape[3]))
        return Gallery.from_masks(masks[:MAX_MASKS, :rows, :columns]).fit(picture.graph.labels)

    def _run(self, canvas: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        names = [output.name for output in self._session.get_outputs()]
        try:
            values = self._session.run(names, {self._session.get_inputs()[0].name: canvas})
        except Exception as error:  # as above
            reason = str(error).splitlines()[0]
            raise ProposalError(
                f"{self.path}: does not run on an input of {list(canvas.shape)}: {reason}"
            ) from error
        return dict(zip(names, values, strict=True))


def _is_picture(shape: list[Any]) -> bool:
    """Whether an input's shape is [1, 3, H, W]; free dimensions are not integers."""
    if len(shape) != 4:
        return False
    free = [not isinstance(side, int) for side in shape]
    return (free[0] or shape[0] == 1) and (free[1] or shape[1] == 3)


def _fill_input(
    image: NDArray[np.uint8], sides: list[int | None]
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """The model's input, float32 [1, 3, H, W], and the part (height, width) that the picture takes of it.

    A side that the model leaves open becomes as long as the picture's part.
    """
    size = image.shape[:2]
    zoom = min((side or DEFAULT_SIDE) / length for side, length in zip(sides, size, strict=True))
    parts = [max(1, round(length * zoom / MULTIPLE)) * MULTIPLE for length in size]
    height, width = (min(part, side or part) for part, side in zip(parts, sides, strict=True))
    canvas = np.full((sides[0] or height, sides[1] or width, 3), _PADDING, np.uint8)
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=method)
    planes = np.ascontiguousarray(np.moveaxis(canvas, -1, 0)[None], dtype=np.float32) / np.float32(255)
    return planes, (height, width)


def _plain_masks(outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_] | None:
    """Masks that a model gives as they are, best first, bool [N, h, w]; None if the shapes do not fit."""
    masks = outputs["masks"]
    if masks.ndim == 4 and len(masks) == 1:
        masks = masks[0]
    scores = outputs.get("scores", np.zeros(len(masks) if masks.ndim else 0)).ravel()
    if masks.ndim != 3 or len(scores) != len(masks):
        return None
    return np.asarray(masks[np.argsort(-scores, kind="stable")] > 0.5)


def _yolo_masks(outputs: Mapping[str, NDArray[Any]], side: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Masks of a YOLO segmentation network, best first, bool [N, h, w]; None if the shapes do not fit.

    Args:
        outputs: [1, 4 + classes + M, A] and [1, M, h, w] by any name.
        side: (H, W) of the input.
    """
    by_rank = {value.ndim: value[0] for value in outputs.values() if value.ndim > 2 and len(value) == 1}
    if len(outputs) != 2 or set(by_rank) != {3, 4}:
        return None
    rows, prototypes = by_rank[3], by_rank[4]
    count, height, width = prototypes.shape
    classes = len(rows) - 4 - count
    # An export with NMS gives [1, A, 6 + M]: corners, score, class and coefficients.
    if classes < 1 or rows.shape[1] == 6 + count:
        return None
    scores = rows[4 : 4 + classes].max(axis=0)
    sure = np.flatnonzero(scores >= MIN_SCORE)
    centres, extents = rows[:2, sure].T, rows[2:4, sure].T
    corners = centres - extents / 2
    boxes = np.concatenate([corners, extents], axis=1).astype(np.float64)
    best = np.asarray(cv2.dnn.NMSBoxes(boxes.tolist(), scores[sure].tolist(), MIN_SCORE, BOX_NMS_IOU), int)
    kept = best.ravel()[:MAX_MASKS]
    logits = rows[4 + classes :, sure[kept]].T @ prototypes.reshape(count, -1)
    x = (np.arange(width) + 0.5) * side[1] / width
    y = (np.arange(height) + 0.5) * side[0] / height
    left, top, across, down = (edge[:, None] for edge in boxes[kept].T)
    in_x = (x >= left) & (x < left + across)
    in_y = (y >= top) & (y < top + down)
    return np.asarray((logits.reshape(-1, height, width) > 0) & in_y[:, :, None] & in_x[:, None, :])
