"""How good and how fast segment proposals are on a VOC tree: ``python -m benchmarks.proposals --voc ROOT``.

Prints, as Markdown, the average best overlap (ABO) of ground-truth instances with any of the first n
proposals, the share of instances that some proposal overlaps by more than 0.5 and 0.75, the same of objects
below 1 % of the picture, and CPU milliseconds per picture on one thread, the network's forward pass not
counted. Void pixels count neither way. OpenCV's graph segmentation and selective search are slow: they are
measured on fewer pictures, and ours beside them on the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import thread_time
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks import baselines
from prm_evaluation.datasets import open_voc
from prm_evaluation.metrics.overlap import iou_from_counts
from prm_proposals import presets
from prm_proposals.gallery import Gallery
from prm_proposals.generator import ProposalGenerator
from prm_proposals.settings import ProposalSettings
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.console import run
from prm_runtime.preprocess import preprocess
from prm_runtime.sources.pictures import read_picture

VOID = 255
COUNTS = (250, 500, 1000, 2000, 3000)
TIMES = (10, 20, 50, 100, 200, 500, 1000)
PRESETS = {"no network": presets.NO_NETWORK, "live": presets.LIVE, "offline": presets.OFFLINE}

Features = Mapping[str, NDArray[np.float32]]
Propose = Callable[[NDArray[np.uint8], Features], list[Gallery]]

app = typer.Typer(add_completion=False)


@dataclass
class Measured:
    """What one method scored on some pictures.

    Attributes:
        overlaps: Best overlap of each instance with the first n proposals for each n of ``COUNTS``, [5, g]
            float32 per picture.
        areas: Share of the picture of each instance, float64 [g] per picture.
        found: Proposals of each picture.
        seconds: CPU time of each picture.
    """

    overlaps: list[NDArray[np.float32]]
    areas: list[NDArray[np.float64]]
    found: list[int]
    seconds: list[float]

    def rows(self, name: str) -> Iterator[str]:
        """Lines of the table, one per count that the method reaches on average."""
        best, small = np.concatenate(self.overlaps, axis=1), np.concatenate(self.areas) < 0.01
        mean = np.mean(self.found)
        for n, count in enumerate(COUNTS):
            figures = [best[n].mean(), (best[n] > 0.5).mean(), (best[n] > 0.75).mean()]
            figures += [best[n, small].mean(), (best[n, small] > 0.5).mean()]
            printed = " | ".join(f"{figure:.3f}" for figure in figures)
            yield f"| {name} | {min(count, mean):.0f} | {printed} | {self.milliseconds:.0f} |"
            if count >= mean:
                break

    @property
    def milliseconds(self) -> float:
        """Median CPU time per picture."""
        return 1e3 * float(np.median(self.seconds))

    def first(self, pictures: int) -> Measured:
        """The same on the first ``pictures`` only."""
        parts = (self.overlaps, self.areas, self.found, self.seconds)
        return Measured(*(part[:pictures] for part in parts))  # type: ignore[arg-type]


def overlaps(
    gallery: Gallery, truth: NDArray[np.bool_], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """IoU of each proposal with each ground-truth mask, float32 [N, g].

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
    return iou_from_counts(members @ inside.T, members @ per_superpixel(counted), inside.sum(axis=1))


def best_overlaps(
    gallery: Gallery, truth: NDArray[np.bool_], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Largest IoU of each ground-truth mask with any proposal, float32 [g]; see :func:`overlaps`."""
    best: NDArray[np.float32] = overlaps(gallery, truth, valid).max(axis=0, initial=0)
    return best


def ours(settings: ProposalSettings) -> Propose:
    """The proposal generator."""
    generator = ProposalGenerator(settings)
    return lambda image, features: [generator.propose(generator.regions(image), features)]


def block_features(path: Path) -> Callable[[NDArray[np.uint8]], Features]:
    """The outputs of a bundle's forward graph by name, as a function of the picture."""
    bundle = Bundle.open(path)
    graph = create_backend("onnxruntime", 1).compile(bundle.read(bundle.manifest.forward.file))

    def features(image: NDArray[np.uint8]) -> Features:
        outputs = graph.run({"image": preprocess(image, bundle.manifest.preprocessing)})
        return {name: value[0] for name, value in outputs.items() if name.startswith("block")}

    return features


@app.command()
def measure(
    voc: Annotated[Path, typer.Option(help="VOC tree.")],
    split: Annotated[str, typer.Option(help="File of ImageSets/Segmentation.")] = "val",
    limit: Annotated[int | None, typer.Option(help="Measure a fixed random choice of this many.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Model for features; the shipped one if left out.")
    ] = None,
    compare: Annotated[int, typer.Option(help="Measure OpenCV's methods on the first this many.")] = 100,
    plot: Annotated[Path | None, typer.Option(help="Also draw the comparison (PNG or SVG).")] = None,
) -> None:
    """Measure segment proposals."""
    cv2.setNumThreads(1)
    dataset = open_voc(voc, split)
    order = np.random.default_rng(0).permutation(len(dataset.samples))[:limit]
    features = block_features(bundle or shipped_bundle())
    methods = {name: ours(settings) for name, settings in PRESETS.items()}
    # the first n of more proposals are those of a smaller limit, but take longer
    wide = {
        name: ours(replace(settings, max_proposals=COUNTS[-1]))
        for name, settings in PRESETS.items()
        if settings.max_proposals < COUNTS[-1]
    }
    others: dict[str, Propose] = {}
    if not baselines.available():
        typer.echo(
            f"OpenCV {cv2.__version__} has no contrib modules: graph segmentation and selective search are "
            "left out; to measure them: pip uninstall -y opencv-python && pip install opencv-contrib-python"
        )
    else:
        others = {
            "OpenCV graph segmentation": lambda image, _: baselines.graph_segmentation(image),
            "selective search": lambda image, _: baselines.selective_search(image),
        }
    measured = {name: Measured([], [], [], []) for name in (*methods, *others)}
    for position, index in enumerate([order[0], *order]):
        sample = dataset.samples[index]
        image = read_picture(sample.image_path)
        maps = features(image)
        masks, _ = dataset.instance_masks(sample)
        valid = dataset.class_mask(sample) != VOID
        for name, result in measured.items():
            if name in others and position > compare:
                continue
            start = thread_time()
            galleries = (methods | others)[name](image, maps)
            elapsed = thread_time() - start
            if name in wide:
                galleries = wide[name](image, maps)
            if position == 0:
                continue  # the first picture also compiles
            iou = np.concatenate([overlaps(gallery, masks, valid) for gallery in galleries])
            result.overlaps.append(np.stack([iou[:count].max(axis=0, initial=0) for count in COUNTS]))
            result.areas.append(masks.mean(axis=(1, 2)))
            result.found.append(len(iou))
            result.seconds.append(elapsed)

    beside = {name: result.first(compare) for name, result in measured.items()}
    for results, names in ((beside, measured), (measured, methods)):
        instances = sum(map(len, results["live"].areas))
        typer.echo(f"\n{len(results['live'].found)} pictures, {instances} instances\n")
        typer.echo("| method | proposals | ABO | R@.5 | R@.75 | ABO < 1 % | R@.5 < 1 % | ms |")
        typer.echo("|---|---|---|---|---|---|---|---|")
        for name in names:
            for row in results[name].rows(name):
                typer.echo(row)
    if plot:
        draw(beside, plot)


def draw(measured: Mapping[str, Measured], path: Path) -> None:
    """Plot ABO against the number of proposals, and against time, into ``path``."""
    from matplotlib.figure import Figure  # imported here: only the plot needs it

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    by_count, by_time = figure.subplots(1, 2, sharey=True)
    for name, result in measured.items():
        abo = np.concatenate(result.overlaps, axis=1).mean(axis=1)
        mean = float(np.mean(result.found))
        reached = [n for n, count in enumerate(COUNTS) if n == 0 or COUNTS[n - 1] < mean]
        counts = [min(COUNTS[n], mean) for n in reached]
        by_count.plot(counts, abo[reached], marker="o", label=name)
        most = PRESETS[name].max_proposals if name in PRESETS else COUNTS[-1]
        by_time.plot(result.milliseconds, abo[COUNTS.index(most)], "o")
    by_count.set(xlabel="proposals", ylabel="average best overlap (ABO)")
    by_time.set(xlabel="CPU ms per picture", xscale="log", xlim=(10, 1000))
    by_time.set_xticks(TIMES, [str(time) for time in TIMES])
    by_time.minorticks_off()
    figure.legend(*by_count.get_legend_handles_labels(), loc="outside lower center", ncols=len(measured))
    for axes in (by_count, by_time):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    run(app)
