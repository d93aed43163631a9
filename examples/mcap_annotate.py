"""MCAP in, MCAP out: ``python examples/mcap_annotate.py IN.mcap[#TOPIC] OUT.mcap [BUNDLE]``.

Every image of a recording with what was found on it, as Foxglove shows it: pictures, outlines and labels,
and the exact masks as JSON. ``prm-run IN.mcap --save-mcap OUT.mcap`` does the same; this is the place to
change it.
"""

import sys

from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import Result
from prm_runtime.sinks.mcap import McapFile
from prm_runtime.sources import open_source


def main(recording: str, output: str, bundle: str | None = None) -> None:
    """Annotate the images of a recording."""
    with Segmenter.open(bundle, min_score=0.2) as segmenter:
        sink = McapFile(output)
        try:
            for frame in open_source(recording):
                sink.write(Result(frame, segmenter(frame.image), segmenter.times))
        finally:
            sink.close()  # also after an error: what was written is a whole recording


if __name__ == "__main__":
    main(*sys.argv[1:])
