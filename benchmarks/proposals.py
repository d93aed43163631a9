"""How good and how fast segment proposals are on a VOC tree: ``python -m benchmarks.proposals --voc ROOT``.

Prints the average best overlap (ABO) of ground-truth instances with any proposal, the share of instances that
some proposal overlaps by more than 0.5 and 0.75, the number of proposals, and milliseconds per picture on one
thread, the network's forward pass not counted. Void pixels count neither way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from prm_evaluation.datasets import open_voc
from prm_evaluation.metrics.overlap import iou_from_counts
from prm_proposals import presets
from prm_proposals.gallery import Gallery
from prm_proposals.generator import ProposalGenerator
from prm_runtime.console import run
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources.pictures import read_picture

VOID = 255

app = typer.Typer(add_completion=False)


def best_overlaps(
    gallery: Gallery, truth: NDArray[np.bool_], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Largest IoU of each ground-truth mask with any proposal, float32 [g].

    Args:
        gallery: Proposals, on a grid of any size.
        truth: bool [g, H, W]; the proposals are scaled to this size.
        valid: Pixels that count, bool [H, W]; all if None.
    """
    height, width = truth.shape[1:]
    labels = cv2.resize(gallery.labels, (width, height), interpolation=cv2.INTER_NEAREST)
    count = gallery.members.shape[1]
    counted = np.ones((height, width), bool) if valid is None else valid

    def per_superpixel(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.bincount(labels[mask & counted], minlength=count).astype(np.float32)

    members = gallery.members.astype(np.float32)
    inside = np.array([per_superpixel(mask) for mask in truth], np.float32).reshape(len(truth), count)
    iou = iou_from_counts(members @ inside.T, members @ per_superpixel(counted), inside.sum(axis=1))
    best: NDArray[np.float32] = iou.max(axis=0, initial=0)
    return best


def without_network() -> Callable[[NDArray[np.uint8]], tuple[Gallery, float]]:
    """Proposals of a picture and the seconds that they took, from colour alone."""
    generator = ProposalGenerator(presets.NO_NETWORK)

    def propose(image: NDArray[np.uint8]) -> tuple[Gallery, float]:
        start = perf_counter()
        gallery = generator.propose(generator.regions(image))
        return gallery, perf_counter() - start

    return propose


def with_bundle(path: Path) -> Callable[[NDArray[np.uint8]], tuple[Gallery, float]]:
    """Proposals of a picture and the seconds that they took, as a bundle makes them."""
    segmenter = Segmenter.open(path, threads=1)

    def propose(image: NDArray[np.uint8]) -> tuple[Gallery, float]:
        before = segmenter.times.seconds("proposals")
        gallery = segmenter.evidence(image).gallery
        return gallery, segmenter.times.seconds("proposals") - before

    return propose


@app.command()
def measure(
    voc: Annotated[Path, typer.Option(help="VOC tree.")],
    split: Annotated[str, typer.Option(help="File of ImageSets/Segmentation.")] = "val",
    limit: Annotated[int | None, typer.Option(help="Measure a fixed random choice of this many.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Use this model's proposals and features.")] = None,
) -> None:
    """Measure segment proposals."""
    cv2.setNumThreads(1)
    dataset = open_voc(voc, split)
    order = np.random.default_rng(0).permutation(len(dataset.samples))[:limit]
    propose = with_bundle(bundle) if bundle else without_network()
    overlaps, counts, seconds = [], [], []
    for position, index in enumerate([order[0], *order]):
        sample = dataset.samples[index]
        image = read_picture(sample.image_path)
        gallery, elapsed = propose(image)
        if position == 0:
            continue  # the first picture also compiles
        masks, _ = dataset.instance_masks(sample)
        overlaps.append(best_overlaps(gallery, masks, dataset.class_mask(sample) != VOID))
        counts.append(len(gallery))
        seconds.append(elapsed)
    best = np.concatenate(overlaps)
    typer.echo(f"pictures {len(order)}, instances {len(best)}, proposals {np.mean(counts):.0f}")
    typer.echo(f"ABO {best.mean():.3f}, R@.5 {(best > 0.5).mean():.3f}, R@.75 {(best > 0.75).mean():.3f}")
    typer.echo(f"ms per picture: median {1e3 * np.median(seconds):.1f}, mean {1e3 * np.mean(seconds):.1f}")


if __name__ == "__main__":
    run(app)
