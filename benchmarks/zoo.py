"""Classifiers of many makes through the intake of ``prm-export --onnx``, against the autograd oracle.

``python -m benchmarks.zoo [--size 128] [--only NAME]``

Prints the table of docs/export.md. All weights are random (He's initialisation, batch norms that change signs
too): what is compared is what the graphs compute, not what the networks know. Per network: the largest
difference between its scores and the file's own, and for its five best peaks the largest error of the Peak
Response Maps as a share of the map's maximum, and their smallest correlation with the oracle's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import onnx_ir as ir
import torch
import typer
from tests.fixtures import exporter_styles, foreign_styles, zoo_files
from tests.fixtures.exporter_styles import torch_net
from tests.fixtures.foreign_maps import PREPROCESSING, agreement
from tests.fixtures.torch_zoo import ZOO
from torch import nn

from prm_export.foreign import check_scores
from prm_export.intake.classifier import import_classifier
from prm_export.intake.strides import strides_of
from prm_export.verify import packaged_picture
from prm_train.backbones import create_backbone
from prm_train.fcn import FullyConvolutional

CLASSES = 24
BACKBONES = {
    "ResNet-18": "resnet18",
    "ResNet-50": "resnet50",
    "VGG16, pooled": "vgg16",
    "EfficientNet-Lite0": "efficientnet_lite0",
}
FILES = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)
STYLES: dict[str, Callable[[Path], Path]] = {
    "MobileNet, channels last": exporter_styles.keras_net,
    "VGG, flattened channels last": exporter_styles.keras_vgg,
    "SE net, channels last": foreign_styles.keras_squeeze_and_excitation,
    "MobileNetV3-like, opset 11": exporter_styles.paddle_net,
    "stride 64": foreign_styles.stride_64,
    "float16": foreign_styles.half_precision,
}
Entry = tuple[str, str, Callable[[Path], Path], int]
"""Name, who wrote the file, what writes it, number of classes."""


def main(
    size: Annotated[int, typer.Option(help="Long side of the photograph in pixels.")] = 128,
    only: Annotated[str | None, typer.Option(help="Networks whose name or maker contains this.")] = None,
) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("| network | file by | nodes | stride | scores | PRMs, largest error | PRMs, correlation |")
    print("|---|---|---|---|---|---|---|")
    for name, maker, write, classes in entries():
        if only is None or only in f"{name}, {maker}":
            with TemporaryDirectory() as folder:
                print(line(name, maker, write(Path(folder) / "net.onnx"), classes, size), flush=True)


def entries() -> list[Entry]:
    """All networks."""
    torch_made = [
        (name, by_torch(lambda b=backbone: pooled(b)), CLASSES) for name, backbone in BACKBONES.items()
    ]
    torch_made += [(name, by_torch(make), foreign_styles.CLASSES) for name, make in ZOO.items()]
    found: list[Entry] = [(name, "torch", write, classes) for name, write, classes in torch_made]
    found += [(name, "onnx's model zoo", by_zoo(name), zoo_files.CLASSES) for name in FILES]
    found += [(name, "hand, as others do", write, foreign_styles.CLASSES) for name, write in STYLES.items()]
    return found


def pooled(backbone: str) -> nn.Module:
    """One of our backbones as a plain classifier."""

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = FullyConvolutional(create_backbone(backbone), CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network(x).mean((2, 3))

    return Pooled()


def by_torch(make: Callable[[], nn.Module]) -> Callable[[Path], Path]:
    """Export a module with torch."""
    return lambda path: torch_net(make(), path)


def by_zoo(name: str) -> Callable[[Path], Path]:
    """Fill a file of the zoo with weights."""
    return lambda path: zoo_files.write_zoo_file(name, path.parent, zoo_files.CLASSES)


def line(name: str, maker: str, path: Path, classes: int, size: int) -> str:
    """A line of the table."""
    foreign = import_classifier(path, classes)
    model = ir.from_proto(foreign.classifier)
    stride = round(strides_of(model)[model.graph.outputs[0]])
    scores = check_scores(foreign, packaged_picture(), PREPROCESSING).error
    error, correlation = agreement(foreign, size=max(size, 2 * foreign.multiple))
    nodes, lacking = len(foreign.source.proto.graph.node), max(1 - correlation, 0)
    figures = f"{scores:.0e} | {error:.0e} | 1 - {lacking:.0e}"
    return f"| {name} | {maker} | {nodes} | {stride} | {figures} |"


if __name__ == "__main__":
    typer.run(main)
