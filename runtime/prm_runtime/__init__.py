"""Run a prm-edge bundle on pictures, video and cameras, or inside another program.

Example:
    >>> from prm_runtime.segmenter import Segmenter
    >>> instances = Segmenter.open()(frame)  # frame: uint8 RGB [H, W, 3]
"""
