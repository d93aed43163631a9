"""Image topics of MCAP recordings, as ROS 2 and Foxglove write them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from prm_runtime.sources.base import Frame, TrackedSource
from prm_runtime.sources.errors import CodecError, NotFoundError, SourceError
from prm_runtime.sources.raw_images import raw_to_rgb
from prm_runtime.sources.status import SourceState

try:
    from mcap.exceptions import McapError
    from mcap.reader import make_reader
    from mcap_protobuf.decoder import DecoderFactory as ProtobufDecoders
    from mcap_ros2.decoder import DecoderFactory as Ros2Decoders
except ImportError as error:
    raise SourceError('MCAP recordings need more packages: pip install "prm-edge[robotics]"') from error

NANO = 1e-9


def _compressed(message: Any) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(bytes(message.data), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise CodecError(f"a compressed image ({message.format}) that cannot be decoded")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _raw(message: Any) -> NDArray[np.uint8]:
    big_endian = bool(getattr(message, "is_bigendian", False))
    return raw_to_rgb(
        bytes(message.data),
        message.height,
        message.width,
        message.step,
        message.encoding,
        big_endian=big_endian,
    )


_IMAGES: dict[str, Callable[[Any], NDArray[np.uint8]]] = {
    "sensor_msgs/msg/Image": _raw,
    "sensor_msgs/msg/CompressedImage": _compressed,
    "foxglove.RawImage": _raw,
    "foxglove_msgs/msg/RawImage": _raw,
    "foxglove.CompressedImage": _compressed,
    "foxglove_msgs/msg/CompressedImage": _compressed,
}
"""Schemas of messages with an image, and how to get it out."""


def image_topics(path: Path) -> dict[str, int]:
    """The image topics of a recording, by name, and how many messages each has.

    Raises:
        CodecError: If it is no recording or has none.
    """
    try:
        with path.open("rb") as file:
            summary = make_reader(file).get_summary()
    except McapError as error:
        raise CodecError(f"{path}: is damaged or no MCAP recording ({error})") from None
    if summary is None:
        raise CodecError(f"{path}: has no index; run: mcap recover {path}")
    counts = summary.statistics.channel_message_counts if summary.statistics else {}
    topics = {
        channel.topic: counts.get(channel.id, 0)
        for channel in sorted(summary.channels.values(), key=lambda channel: channel.topic)
        if channel.schema_id in summary.schemas and summary.schemas[channel.schema_id].name in _IMAGES
    }
    if not topics:
        raise CodecError(f"{path}: no image topic; expected messages of {', '.join(_IMAGES)}")
    return topics


class Recording(TrackedSource):
    """An image topic of a recording, every message in the order of the log times."""

    def __init__(self, path: Path, topic: str | None = None) -> None:
        """Look at what the recording holds.

        Args:
            path: The file.
            topic: The topic; None where there is one only.

        Raises:
            SourceError: If it is no recording, has not this topic, or has several and ``topic`` is None.
        """
        super().__init__(str(path) if topic is None else f"{path}#{topic}")
        topics = image_topics(path)
        if topic is None and len(topics) > 1:
            raise SourceError(f"{path}: several image topics: {', '.join(topics)}; name one: {path}#TOPIC")
        if topic is not None and topic not in topics:
            raise NotFoundError(f"{path}: no image topic {topic}; there are: {', '.join(topics)}")
        self._path = path
        self._topic = topic or next(iter(topics))
        self.length = topics[self._topic] or None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the images; messages that cannot be decoded are skipped.

        Raises:
            CodecError: If none can be decoded.
        """
        index, start = 0, None
        self.keeper.enter(SourceState.RUNNING)
        for log_time, decode in self._messages():
            try:
                image = decode()
            except (SourceError, McapError, ValueError, KeyError, AttributeError, cv2.error) as error:
                self.skip(f"{self.name}: skipped a message: {error}")
                continue
            start = log_time if start is None else start
            self.keeper.count(frames=1)
            yield Frame(image, self.name, index, (log_time - start) * NANO)
            index += 1
        if index == 0:
            raise CodecError(f"{self.name}: no image could be decoded")

    def _messages(self) -> Iterator[tuple[int, Callable[[], NDArray[np.uint8]]]]:
        """Log time of each message in nanoseconds, and how to decode it."""
        factories: list[Any] = [Ros2Decoders(), ProtobufDecoders(), _JsonDecoders()]
        try:
            with self._path.open("rb") as file:
                for schema, channel, message in make_reader(file).iter_messages(topics=[self._topic]):
                    if schema is None or schema.name not in _IMAGES:
                        continue
                    found = (factory.decoder_for(channel.message_encoding, schema) for factory in factories)
                    decoder = next((decoder for decoder in found if decoder is not None), None)
                    yield message.log_time, _decoding(schema.name, decoder, message.data)
        except McapError as error:
            self.skip(f"{self.name}: ended early, it is damaged ({error})")


def _decoding(
    schema: str, decoder: Callable[[bytes], Any] | None, content: bytes
) -> Callable[[], NDArray[np.uint8]]:
    def decode() -> NDArray[np.uint8]:
        if decoder is None:
            raise CodecError(f"{schema} in an encoding other than CDR, Protobuf and JSON")
        return _IMAGES[schema](decoder(content))

    return decode


class _JsonMessage:
    """Fields of a JSON message as attributes; ``data`` is bytes in base64."""

    def __init__(self, content: bytes) -> None:
        fields = json.loads(content)
        self.__dict__.update(fields, data=base64.b64decode(fields["data"]))


class _JsonDecoders:
    """Foxglove's JSON, made like the decoder factories of the mcap packages."""

    def decoder_for(self, message_encoding: str, _schema: Any) -> Callable[[bytes], Any] | None:
        return _JsonMessage if message_encoding == "json" else None
