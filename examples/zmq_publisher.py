"""Publish what is found to other processes: ``python examples/zmq_publisher.py SOURCE [ENDPOINT] [BUNDLE]``.

One message per frame, of two parts: the topic ``instances`` and a JSON object, the same as a JSON line of
``prm-run``. A subscriber in any language reads it:

    socket = zmq.Context().socket(zmq.SUB)
    socket.connect("tcp://localhost:5556")
    socket.subscribe("instances")
    topic, body = socket.recv_multipart()

Publishing never waits: a subscriber that is too slow loses the newest messages, and only those. ZeroMQ does
not ask who subscribes, so keep to this computer, as the default does, or to a network that you trust.
"""

import json
import sys

import zmq

from prm_runtime.results import frame_record
from prm_runtime.segmenter import Segmenter
from prm_runtime.sources import open_source

TOPIC, WAITING = b"instances", 10  # messages that a subscriber may lag behind


def main(source: str, endpoint: str = "tcp://127.0.0.1:5556", bundle: str | None = None) -> None:
    """Publish the instances of every frame, from the first subscriber on."""
    with (
        Segmenter.open(bundle, min_score=0.2) as segmenter,
        zmq.Context() as context,
        context.socket(zmq.XPUB) as socket,  # tells when somebody subscribes
    ):
        socket.setsockopt(zmq.SNDHWM, WAITING)
        socket.bind(endpoint)
        socket.recv()
        for frame in open_source(source):
            record = frame_record(frame, segmenter(frame.image))
            socket.send_multipart([TOPIC, json.dumps(record).encode()])


if __name__ == "__main__":
    main(*sys.argv[1:])
