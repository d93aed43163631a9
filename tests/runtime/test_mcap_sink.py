"""MCAP files, read by the reader of their own library, and recovered after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory
from tests.fixtures.shapes import SIZE, awkward_masks, awkward_result, iou
from tests.runtime.test_label_sinks import full_disk

from prm_runtime.polygons import polygon_mask
from prm_runtime.results import FRAME_SCHEMA, decode_mask
from prm_runtime.sinks import SinkError
from prm_runtime.sinks.mcap import McapFile, recover_mcap

Messages = dict[str, list[tuple[int, object]]]


def read(path: Path) -> Messages:
    """Log time and content of the messages of each topic, through the index."""
    found: Messages = {}
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        assert reader.get_summary() is not None
        for schema, channel, message in reader.iter_messages():
            assert schema is not None
            if channel.message_encoding == "json":
                content = json.loads(message.data)
                jsonschema.validate(content, json.loads(schema.data))
            else:
                content = DecoderFactory().decoder_for(channel.message_encoding, schema)(message.data)
            found.setdefault(channel.topic, []).append((message.log_time, content))
    return found


def test_foxglove_reads_pictures_annotations_and_instances(tmp_path: Path) -> None:
    sink = McapFile(str(tmp_path / "new" / "out.mcap"))
    for n in range(3):
        sink.write(awkward_result(n, 0.04 * n, empty=n == 1))
    sink.close()
    messages = read(tmp_path / "new" / "out.mcap")
    assert sorted(messages) == ["/clip/annotations", "/clip/image", "/clip/instances"]
    start = messages["/clip/image"][0][0]
    for topic in messages.values():
        assert [at - start for at, _ in topic] == [0, 40_000_000, 80_000_000]
    for n, (_, image) in enumerate(messages["/clip/image"]):
        assert image.format == "jpeg"
        picture = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(picture.astype(int) - awkward_result(n).frame.image).mean() < 6
    _, annotations = messages["/clip/annotations"][0]
    assert [len(annotations.points), len(annotations.texts), len(annotations.circles)] == [6 + 1, 5, 5]
    facts = [{pair.key: pair.value for pair in shape.metadata} for shape in annotations.points]
    assert facts[0] == {"label": "cat", "score": "0.9000", "track_id": "4"}
    assert "track_id" not in facts[-1]
    for track, mask in zip("4567", awkward_masks(), strict=False):
        rings = [
            np.array([(point.x, point.y) for point in shape.points])
            for shape, fact in zip(annotations.points, facts, strict=True)
            if fact.get("track_id") == track
        ]
        assert iou(polygon_mask(rings, *SIZE), mask) >= 0.95
    assert not messages["/clip/annotations"][1][1].points
    _, record = messages["/clip/instances"][0]
    jsonschema.validate(record, FRAME_SCHEMA)
    for entry, mask in zip(record["instances"], awkward_masks(), strict=True):
        np.testing.assert_array_equal(decode_mask(entry["mask"]), mask)


def test_sources_have_topics_of_their_own_and_pictures_share_one(tmp_path: Path) -> None:
    sink = McapFile(str(tmp_path / "out.mcap"))
    for source in ("a/clip.mp4", "b/clip.mp4", "rtsp://camera/live"):
        sink.write(awkward_result(0, 0.0, source))
    for source in ("1.png", "2.png"):
        sink.write(awkward_result(source=source))
    sink.close()
    images = {topic: found for topic, found in read(tmp_path / "out.mcap").items() if topic.endswith("image")}
    assert sorted(images) == [
        "/clip-2/image", "/clip/image", "/pictures/image", "/rtsp---camera-live/image"
    ]  # fmt: skip
    (first, _), (second, _) = images["/pictures/image"]
    assert second - first == 1_000_000_000


ENDLESS = """
from itertools import count
from tests.fixtures.shapes import awkward_result
from prm_runtime.sinks.mcap import McapFile
sink = McapFile({path!r})
for n in count():
    sink.write(awkward_result(n, 0.04 * n))
    print(n, flush=True)
"""


def test_a_killed_run_loses_no_frame_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "out.mcap"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS.format(path=str(path))], stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        written = [int(process.stdout.readline()) for _ in range(5)][-1]
        process.send_signal(signal.SIGKILL)
    with pytest.raises(McapError):
        read(path)  # no index yet
    recover_mcap(path)
    messages = read(path)
    for topic in ("/clip/image", "/clip/annotations", "/clip/instances"):
        assert len(messages[topic]) > written
    assert [record["frame"] for _, record in messages["/clip/instances"]][: written + 1] == [0, 1, 2, 3, 4]
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_what_can_be_recovered(tmp_path: Path) -> None:
    path = tmp_path / "out.mcap"
    sink = McapFile(str(path))
    sink.write(awkward_result(0, 0.0))
    with (
        full_disk(path.stat().st_size + 300),
        pytest.raises(OSError, match="File too large"),
    ):
        sink.write(awkward_result(1, 0.04))
    sink.close()
    assert recover_mcap(path) == 3
    assert [record["frame"] for _, record in read(path)["/clip/instances"]] == [0]


def test_recovering_a_whole_file_changes_nothing_in_it(tmp_path: Path) -> None:
    path = tmp_path / "out.mcap"
    sink = McapFile(str(path))
    for n in range(2):
        sink.write(awkward_result(n, 0.04 * n))
    sink.close()
    before = str(read(path))
    assert recover_mcap(path) == 6
    assert str(read(path)) == before


def test_another_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.mcap"
    path.write_text("no recording at all")
    with pytest.raises(SinkError, match="not a valid MCAP file"):
        recover_mcap(path)
    assert path.read_text() == "no recording at all"
