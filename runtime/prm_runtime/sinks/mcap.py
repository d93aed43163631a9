"""MCAP recordings that Foxglove plays: pictures, their annotations, and the results as JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path

from google.protobuf.message import Message
from mcap.exceptions import EndOfFile, McapError
from mcap.records import Channel, Schema
from mcap.records import Message as McapMessage
from mcap.stream_reader import StreamReader
from mcap.well_known import MessageEncoding, SchemaEncoding
from mcap.writer import CompressionType, Writer
from mcap_protobuf.schema import register_schema

from prm_runtime.results import FRAME_SCHEMA, frame_record
from prm_runtime.sinks.base import Result, SinkError
from prm_runtime.sinks.files import AppendFile
from prm_runtime.sinks.foxglove import compressed_image, image_annotations
from prm_runtime.sinks.pictures import FrameNames
from prm_runtime.sources.base import Frame

_PICTURES = "pictures"  # the topics of still pictures, which have no source in common
_SECOND_NS = 1_000_000_000
# Each message is a chunk of its own: on the disk when it is written, in the index when the file is closed.
_CHUNK_BYTES = 1


class McapFile:
    """Topics ``/SOURCE/image`` (foxglove.CompressedImage), ``/SOURCE/annotations``
    (foxglove.ImageAnnotations) and ``/SOURCE/instances`` (JSON, as in JSON lines, with exact masks).

    The time of a message is the frame's, from the moment the source's first frame came; still pictures are a
    second apart.
    """

    def __init__(self, path: str) -> None:
        """Begin the file.

        Raises:
            SinkError: If it cannot be written.
        """
        self._file = AppendFile(Path(path))
        self._writer = _begin(self._file)
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._names = FrameNames()
        self._starts: dict[str, int] = {}
        self._pictures = 0
        self._is_whole = True

    def __str__(self) -> str:
        """What people call it."""
        return str(self._file.path)

    def write(self, result: Result) -> None:
        """Write the messages of one frame.

        Raises:
            OSError: If they do not fit on the disk; the messages before are in the file.
        """
        with result.times.stage("write"):
            frame = result.frame
            topic = f"/{_PICTURES if frame.time_s is None else self._names.stem(frame)}"
            at = self._time(frame, topic)
            record = json.dumps(frame_record(frame, result.instances), ensure_ascii=False)
            try:
                self._add(f"{topic}/image", at, compressed_image(frame.image, topic[1:], at))
                self._add(f"{topic}/annotations", at, image_annotations(result.instances, at))
                self._writer.add_message(
                    self._json_channel(f"{topic}/instances"), at, record.encode(), at, sequence=frame.index
                )
            except OSError:
                self._is_whole = False  # the writer's index has what the file lacks
                raise

    def close(self) -> None:
        """Write the index and close; after an error the file ends with its last whole message."""
        try:
            if self._is_whole:
                self._writer.finish()  # type: ignore[no-untyped-call]
        finally:
            self._file.close()

    def _time(self, frame: Frame, topic: str) -> int:
        """Nanoseconds since 1970."""
        seconds = frame.time_s
        if seconds is None:
            seconds, self._pictures = float(self._pictures), self._pictures + 1
        since_start = round(seconds * _SECOND_NS)
        return self._starts.setdefault(topic, time.time_ns() - since_start) + since_start

    def _add(self, topic: str, at: int, message: Message) -> None:
        name = type(message).DESCRIPTOR.full_name
        if name not in self._schemas:
            self._schemas[name] = register_schema(self._writer, type(message))
        if topic not in self._channels:
            self._channels[topic] = self._writer.register_channel(
                topic, MessageEncoding.Protobuf, self._schemas[name]
            )
        self._writer.add_message(self._channels[topic], at, message.SerializeToString(), at)

    def _json_channel(self, topic: str) -> int:
        name = FRAME_SCHEMA["title"]
        if name not in self._schemas:
            schema = json.dumps(FRAME_SCHEMA).encode()
            self._schemas[name] = self._writer.register_schema(name, SchemaEncoding.JSONSchema, schema)
        if topic not in self._channels:
            self._channels[topic] = self._writer.register_channel(
                topic, MessageEncoding.JSON, self._schemas[name]
            )
        return self._channels[topic]


def recover_mcap(path: Path) -> int:
    """Give a file without an index, as a killed run leaves it, what a closed one has. Returns its messages.

    Raises:
        SinkError: If it is no MCAP file.
        OSError: If it cannot be read or written.
    """
    aside = path.with_name(f".{path.name}.part")
    output = AppendFile(aside)
    try:
        writer, count = _begin(output), 0
        schemas: dict[int, int] = {0: 0}
        channels: dict[int, int] = {}
        with path.open("rb") as file:
            try:
                for record in StreamReader(file).records:
                    if isinstance(record, Schema) and record.id not in schemas:
                        schemas[record.id] = writer.register_schema(record.name, record.encoding, record.data)
                    elif isinstance(record, Channel) and record.id not in channels:
                        channels[record.id] = writer.register_channel(
                            record.topic, record.message_encoding, schemas[record.schema_id], record.metadata
                        )
                    elif isinstance(record, McapMessage):
                        writer.add_message(
                            channels[record.channel_id],
                            record.log_time,
                            record.data,
                            record.publish_time,
                            record.sequence,
                        )
                        count += 1
            except EndOfFile:
                pass  # the chunk that was being written
            except McapError as error:
                raise SinkError(f"{path}: {error}") from error
        writer.finish()  # type: ignore[no-untyped-call]
        output.close()
        aside.replace(path)
    except BaseException:
        output.close()
        aside.unlink(missing_ok=True)
        raise
    return count


def _begin(file: AppendFile) -> Writer:
    writer = Writer(file, chunk_size=_CHUNK_BYTES, compression=CompressionType.LZ4)  # type: ignore[arg-type]
    writer.start(library="prm-edge")
    return writer
