from __future__ import annotations

import json
import runpy
import threading
from pathlib import Path

import pytest
from tests.fixtures.colour_blobs import BLOBS, draw_blobs
from tests.fixtures.media import write_png

zmq = pytest.importorskip("zmq", reason="needs pyzmq")
EXAMPLE = Path(__file__).parents[2] / "examples" / "zmq_publisher.py"


def test_a_subscriber_gets_every_frame(colour_bundle: Path, tmp_path: Path) -> None:
    """Over real sockets of this computer."""
    for n in range(4):
        write_png(tmp_path / f"{n}.png", draw_blobs(BLOBS[:n])[0])
    endpoint = f"ipc://{tmp_path}/socket"
    main = runpy.run_path(str(EXAMPLE), run_name="example")["main"]
    publisher = threading.Thread(target=main, args=(str(tmp_path), endpoint, str(colour_bundle)))
    publisher.start()
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.RCVTIMEO, 120_000)
        socket.connect(endpoint)
        socket.subscribe("instances")
        messages = [socket.recv_multipart() for _ in range(4)]
    publisher.join(60)
    assert not publisher.is_alive()
    assert {topic for topic, _ in messages} == {b"instances"}
    records = [json.loads(body) for _, body in messages]
    assert [len(record["instances"]) for record in records] == [0, 1, 2, 3]
    assert [Path(record["source"]).stem for record in records] == ["0", "1", "2", "3"]
