"""Step one of every export: the checkpoint's network as an ONNX classifier, by the standard exporter."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings

import onnx
import torch
from torch import Tensor, nn

from prm_export.emit import OPSET
from prm_train.fcn import FullyConvolutional

INPUT = "image"
STRIDE = 32


class _WithFeatures(nn.Module):
    def __init__(self, model: FullyConvolutional) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        M, features = self.model.forward_with_features(x)
        return (M, *features.values())


def export_classifier(model: FullyConvolutional, optimize: bool = True) -> onnx.ModelProto:
    """Export a fully convolutional network for images whose sides are multiples of 32.

    Args:
        model: The network, in eval mode.
        optimize: Whether the exporter may fold batch norm into the convolutions.

    Returns:
        Model with input ``image`` float32 [1, 3, H, W], outputs ``class_maps`` float32 [1, C, h, w], one per
        feature tap, by the tap's name, and ``mask_logits`` if there is a mask head.
    """
    example = torch.zeros(1, 3, 4 * STRIDE, 5 * STRIDE)
    sides = {2: STRIDE * torch.export.Dim("rows", max=256), 3: STRIDE * torch.export.Dim("columns", max=256)}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    # the exporter reports its progress, and that torchvision is absent; neither is news to the user
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _WithFeatures(model).eval(),
                (example,),
                dynamo=True,
                optimize=optimize,
                opset_version=OPSET,
                verbose=False,
                input_names=[INPUT],
                output_names=["class_maps", *model.feature_names],
                dynamic_shapes=(sides,),
            )
    finally:
        logger.setLevel(level)
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    proto: onnx.ModelProto = program.model_proto
    return proto
