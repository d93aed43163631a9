"""What a network makes of every superpixel of the training pictures, for the mask head to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from prm_proposals.generator import ProposalGenerator
from prm_proposals.pooling import pool_features
from prm_proposals.regions import RegionGraph
from prm_proposals.settings import WalkSettings
from prm_proposals.walk import class_prior
from prm_runtime.console import PrmError
from prm_train.config import MaskRecipe
from prm_train.data import LabelledPictures, normalise, single_threaded
from prm_train.fcn import FullyConvolutional
from prm_train.progress import progress_bar
from prm_train.pseudo_masks import LabelledRegions, without_label_map

_Item = tuple[Tensor, Tensor, RegionGraph]


class _PicturesWithRegions(TorchDataset[_Item]):
    """Pictures, uint8 [3, h, w], their labels, float [C], and their superpixels."""

    def __init__(self, pictures: LabelledPictures) -> None:
        self._pictures = pictures
        self._generator = ProposalGenerator()

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> _Item:
        picture, labels = self._pictures[index]
        image = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
        return picture, labels, self._generator.regions(image)


@contextmanager
def region_features(
    network: FullyConvolutional,
    pictures: LabelledPictures,
    recipe: MaskRecipe,
    folder: Path,
    workers: int,
) -> Iterator[tuple[NDArray[np.float16], list[LabelledRegions]]]:
    """Pool the outputs of the backbone's tapped blocks over the superpixels of every picture.

    A picture whose class maps do not respond to one of its labels has nothing to teach and is left out.

    Args:
        network: The trained network; it is left in eval mode.
        pictures: The training pictures as a device sees them.
        recipe: ``map_shift``, ``foreground_level`` and ``foreground_scale`` of the first pseudo-masks.
        folder: Where the features lie until the end of the ``with`` block; about 1 kB a superpixel.
        workers: Processes that decode pictures and find their superpixels.

    Yields:
        The features, mapped from a file, float16 [superpixels, channels of all tapped blocks], and the
        pictures they belong to.

    Raises:
        PrmError: If class maps respond to no picture's labels.
    """
    with TemporaryDirectory(dir=folder) as temporary, progress_bar(enabled=True) as progress:
        path = Path(temporary) / "regions.f16"
        task = progress.add_task("superpixels", total=len(pictures))
        regions, width = _write(path, network, pictures, recipe, workers, lambda: progress.advance(task))
        if not regions:
            raise PrmError(
                "the class maps respond to no training picture's labels: train the classifier for longer"
            )
        progress.stop()
        yield np.memmap(path, np.float16, "r", shape=(regions[-1].rows.stop, width)), regions


@torch.no_grad()
def _write(
    path: Path,
    network: FullyConvolutional,
    pictures: LabelledPictures,
    recipe: MaskRecipe,
    workers: int,
    advance: Callable[[], None],
) -> tuple[list[LabelledRegions], int]:
    """Write the features; the pictures that they belong to, and the number of features."""
    network.eval()
    backbone = network.backbone
    device = network.classifier.weight.device
    walk = WalkSettings(foreground_level=recipe.foreground_level, foreground_scale=recipe.foreground_scale)
    loader = DataLoader(
        _PicturesWithRegions(pictures), batch_size=None, num_workers=workers, worker_init_fn=single_threaded
    )
    regions: list[LabelledRegions] = []
    rows, width = 0, 0
    with path.open("wb") as file:
        for picture, labels, graph in loader:
            advance()
            inputs = normalise(picture[None].to(device), backbone.mean, backbone.std)
            features, outputs = backbone.forward_with_blocks(inputs, backbone.taps)
            classes = np.flatnonzero(labels.numpy())
            M = network.classifier(features)[0].float().cpu().numpy()[classes]
            if (M.max(axis=(1, 2), initial=-np.inf) <= 0).any():
                continue
            pooled = [
                pool_features(outputs[block][0].float().cpu().numpy(), graph.labels, graph.count)
                for block in backbone.taps
            ]
            stacked = np.concatenate(pooled, axis=1).astype(np.float16)
            file.write(stacked.tobytes())
            prior = class_prior(M, graph, walk, recipe.map_shift).astype(np.float32)
            regions.append(LabelledRegions(without_label_map(graph), classes, prior, rows))
            rows, width = rows + len(stacked), stacked.shape[1]
    return regions, width
