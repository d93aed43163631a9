from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from tests.fixtures.colour_blobs import BLOBS, draw_blobs

pytest.importorskip("mcap_ros2", reason='needs MCAP: pip install "prm-edge[robotics]"')
from mcap.reader import make_reader
from mcap_ros2.writer import Writer
from tests.examples.test_ros2 import HEADER, IMAGE

from prm_runtime.sources import open_source

EXAMPLE = Path(__file__).parents[2] / "examples" / "mcap_annotate.py"


def write_recording(path: Path) -> None:
    """Three images of a ROS 2 camera, with one, two and three blobs."""
    with path.open("wb") as file:
        writer = Writer(file)
        schema = writer.register_msgdef("sensor_msgs/msg/Image", IMAGE)
        for n in (1, 2, 3):
            image = draw_blobs(BLOBS[:n])[0]
            height, width = image.shape[:2]
            fields = {"header": HEADER, "height": height, "width": width, "encoding": "rgb8"}
            fields |= {"is_bigendian": 0, "step": 3 * width, "data": image.tobytes()}
            writer.write_message("/camera/image_raw", schema, fields, n * 100_000_000)
        writer.finish()


def test_a_recording_becomes_an_annotated_recording(colour_bundle: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.mcap", tmp_path / "out.mcap"
    write_recording(source)
    main = runpy.run_path(str(EXAMPLE), run_name="example")["main"]
    main(f"{source}#/camera/image_raw", str(target), str(colour_bundle))
    with target.open("rb") as file:
        messages = list(make_reader(file).iter_messages())
    records = [
        json.loads(message.data) for _, channel, message in messages if channel.topic.endswith("/instances")
    ]
    assert [len(record["instances"]) for record in records] == [1, 2, 3]
    assert [record["time_s"] for record in records] == [0, 0.1, 0.2]
    pictures = list(open_source(str(target)))  # the output is a source again
    assert [picture.image.shape for picture in pictures] == [(336, 448, 3)] * 3
