"""Segment a picture inside your own program: ``python examples/embed.py PICTURE [BUNDLE]``."""

import sys

import cv2

from prm_runtime.segmenter import Segmenter


def main(picture: str, bundle: str | None = None) -> None:
    """Print what is in a picture and where."""
    frame = cv2.cvtColor(cv2.imread(picture), cv2.COLOR_BGR2RGB)
    with Segmenter.open(bundle, min_score=0.2) as segmenter:  # once; then one call per frame, from any thread
        found = segmenter(frame)
    for label, score, box, mask in zip(found.labels, found.scores, found.boxes, found.masks, strict=True):
        print(f"{label} {score:.2f} box {box.tolist()} {mask.sum()} pixels")


if __name__ == "__main__":
    main(*sys.argv[1:])
