"""A real RTSP server on loopback: restarts, latency, users and passwords."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures import rtsp
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.media import write_png

from prm_runtime.sources import Patience, SourceOptions, SourceState, open_source
from prm_runtime.sources.errors import NotFoundError, UnauthorisedError
from prm_runtime.sources.intake import Intake, Taken
from prm_runtime.timing import StageTimes

pytestmark = pytest.mark.skipif(
    not rtsp.is_installed(),
    reason="needs GStreamer's RTSP server; apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi "
    "gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly",
)
FPS = 5
RESTARTS = 5


@pytest.fixture
def server() -> Iterator[rtsp.RtspServer]:
    server = rtsp.RtspServer(FPS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def guarded() -> Iterator[rtsp.RtspServer]:
    server = rtsp.RtspServer(FPS, "admin", "sesame")
    server.start()
    yield server
    server.stop()


def take(intake: Intake, timeout_s: float = 60) -> Taken:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for taken in intake.take(1, 1):
            return taken
    pytest.fail(f"no frame: {intake.sources[0].status}")


def test_a_stream_resumes_each_time_its_server_is_restarted(server: rtsp.RtspServer) -> None:
    source = open_source(f"rtsp://127.0.0.1:{server.port}/live", SourceOptions(Patience(2)))
    intake = Intake([source], StageTimes())
    numbers = [rtsp.shown_number(take(intake).frame.image)]
    for restart in range(RESTARTS):
        server.stop()
        while intake.take(1, 0.2) or source.status.state is not SourceState.RETRYING:
            pass  # the last frame of before may still be waiting
        server.start()
        numbers.append(rtsp.shown_number(take(intake).frame.image))
        assert source.status.reconnects == restart + 1
        assert source.status.state is SourceState.RUNNING
    intake.close()
    assert numbers == sorted(set(numbers))


def test_a_slow_consumer_gets_the_newest_frame(server: rtsp.RtspServer) -> None:
    source = open_source(f"rtsp://127.0.0.1:{server.port}/live")
    intake = Intake([source], StageTimes())
    lags = []
    for _ in range(20):
        lags.append(server.lag(take(intake).frame.image))
        time.sleep(0.5)
    intake.close()
    assert sorted(lags)[17] <= 2, lags  # a busy machine may be late once
    assert source.status.dropped > 10


@pytest.mark.parametrize("credentials", ["", "admin:guess@"])
def test_without_the_right_password_a_stream_ends_at_once(guarded: rtsp.RtspServer, credentials: str) -> None:
    with pytest.raises(UnauthorisedError, match="user or password") as caught:
        list(open_source(f"rtsp://{credentials}127.0.0.1:{guarded.port}/live"))
    assert "guess" not in str(caught.value)


def test_a_stream_that_the_server_does_not_know(server: rtsp.RtspServer) -> None:
    with pytest.raises(NotFoundError, match=r"/none: cannot be reached \(not found\)"):
        list(open_source(f"rtsp://127.0.0.1:{server.port}/none"))


def test_the_password_is_nowhere_in_what_a_run_says_or_writes(
    prm_run: Callable[..., Any], guarded: rtsp.RtspServer, colour_bundle: Path, tmp_path: Path
) -> None:
    uri = f"rtsp://admin:sesame@127.0.0.1:{guarded.port}/live"
    lines = tmp_path / "out.jsonl"
    picture = write_png(tmp_path / "blobs.png", draw_blobs()[0])
    guarded_for = ["--retry-for", "0.5", "--stall-after", "1", "--model", colour_bundle, "--save-json", lines]

    def stop_later() -> None:
        while not lines.exists() or lines.read_text().count("\n") < 2:
            time.sleep(0.1)
        guarded.stop()

    stopper = threading.Thread(target=stop_later)
    stopper.start()
    result = prm_run(uri, picture, *guarded_for)
    stopper.join()
    assert result.code == 3
    assert "failed: rtsp://127.0.0.1" in result.err
    assert "sesame" not in result.err + result.out + lines.read_text()
    sources = {json.loads(line)["source"] for line in lines.read_text().splitlines()}
    assert sources == {f"rtsp://127.0.0.1:{guarded.port}/live", str(picture)}
