"""The page on a real port: viewers that are slow or leave, and what stays when it is taken down."""

from __future__ import annotations

import gc
import json
import logging
import socket
import threading
import time
import urllib.request
import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from tests.fixtures.live_page import blob_result, plain_result, take_apart, wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from prm_runtime.segmenter import Segmenter
from prm_runtime.serve.about import About
from prm_runtime.serve.address import Address
from prm_runtime.serve.app import MAX_VIEWERS
from prm_runtime.serve.page import LivePage
from prm_runtime.sinks import SinkError
from prm_runtime.sources import Frame
from prm_runtime.sources.status import SourceState, StatusKeeper

ANY_PORT = Address("127.0.0.1", 0)


@pytest.fixture
def page() -> Iterator[LivePage]:
    with LivePage(ANY_PORT, [StatusKeeper("clip.mp4")], About("model", 0.2)) as page:
        yield page


def watch(page: LivePage) -> ClientConnection:
    return connect(page.url.replace("http", "ws") + "watch", compression=None, open_timeout=20)


def get(page: LivePage, path: str) -> str:
    with urllib.request.urlopen(page.url + path, timeout=20) as answer:  # noqa: S310 (our own page)
        return answer.read().decode()


def viewers(page: LivePage) -> int:
    return int(float(get(page, "metrics").partition("\nprm_viewers ")[2].partition("\n")[0]))


def end_code(viewer: ClientConnection) -> int | None:
    """Why the server ends a connection, after whatever it had sent before."""
    try:
        while True:
            viewer.recv(timeout=20)
    except ConnectionClosed as end:
        return end.rcvd.code if end.rcvd else None


def test_a_viewer_is_told_about_the_run_and_gets_a_report_every_second(page: LivePage) -> None:
    with watch(page) as viewer:
        hello = json.loads(viewer.recv())
        assert (hello["type"], hello["model"], hello["min_score"]) == ("hello", "model", 0.2)
        for _ in range(2):
            page.write(plain_result(latency_s=0.1))
        kinds = {}
        while "report" not in kinds:
            message = viewer.recv(timeout=20)
            kind = json.loads(message)["type"] if isinstance(message, str) else "result"
            kinds[kind] = message
        assert take_apart(kinds["result"])[0]["sequence"] == 2
        (source,) = json.loads(kinds["report"])["sources"]
        assert source["results"] == 2
        assert len(source["history"]) == 1


def test_a_viewer_that_never_reads_neither_holds_the_run_up_nor_collects_results(page: LivePage) -> None:
    """Its connection fills up; the run goes on, others get the newest, and old results are let go."""
    with watch(page), watch(page) as quick:
        quick.recv()
        wait_until(lambda: viewers(page) == 2, "both viewers are there")
        start = time.process_time()
        frames = []
        for n in range(400):
            result = plain_result(index=n)
            frames.append(weakref.ref(result.frame))
            page.write(result)
        assert time.process_time() - start < 5
        sequence = 0
        while sequence < 400:
            message = quick.recv(timeout=20)
            if isinstance(message, bytes):
                sequence = take_apart(message)[0]["sequence"]
                quick.send('{"type": "next"}')
        del result
        gc.collect()
        assert sum(frame() is not None for frame in frames) <= 2


def test_viewers_that_leave_leave_nothing_behind(page: LivePage, colour_segmenter: Segmenter) -> None:
    result = blob_result(colour_segmenter)
    before = threading.active_count()
    for how in ("close", "vanish") * 5:
        viewer = watch(page)
        viewer.recv()
        page.write(result)
        if how == "close":
            viewer.close()
        else:
            viewer.socket.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: viewers(page) == 0, "all viewers are gone")
    assert not page._hub._listeners
    wait_until(lambda: threading.active_count() <= before + 4, "threads end")  # the encoders' few are kept


def test_no_more_viewers_than_a_device_can_bear(page: LivePage) -> None:
    crowd = [watch(page) for _ in range(MAX_VIEWERS)]
    try:
        for viewer in crowd:
            viewer.recv()
        with watch(page) as late:
            assert end_code(late) == 1013
    finally:
        for viewer in crowd:
            viewer.close()


def test_long_messages_of_viewers_are_not_read(page: LivePage) -> None:
    with watch(page) as viewer:
        viewer.recv()
        viewer.send("x" * 100_000)
        assert end_code(viewer) == 1009


def test_taking_the_page_down_ends_its_thread_and_tells_its_viewers() -> None:
    with LivePage(ANY_PORT, [StatusKeeper("clip.mp4")], About("model")) as page:
        viewer = watch(page)
        viewer.recv()
        page.write(plain_result())
        page.close()  # the run is over, the page is not
        assert json.loads(get(page, "healthz"))["status"] == "ok"
        start = time.monotonic()
    assert time.monotonic() - start < 10
    assert end_code(viewer) == 1001
    assert "live-page" not in {thread.name for thread in threading.enumerate()}
    page.write(plain_result())  # a straggler does no harm
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(page.url.rpartition(":")[2].strip("/"))), timeout=5)


def test_a_connection_that_is_stuck_cannot_keep_the_page_up() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (960, 1280, 3), np.uint8)
    with LivePage(ANY_PORT, [StatusKeeper("clip.mp4")], About("model")) as page:
        port = int(page.url.rpartition(":")[2].strip("/"))
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect(("127.0.0.1", port))
            stuck.sendall(
                b"GET /watch HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            wait_until(lambda: viewers(page) == 1, "the viewer is there")
            for n in range(5):
                page.write(replace(plain_result(), frame=Frame(noise, "clip.mp4", n, n / 25)))
            with watch(page) as other:  # is served all the same
                assert {type(other.recv(timeout=20)) for _ in range(2)} == {str, bytes}
            start = time.monotonic()
            page.__exit__(None, None, None)
            assert time.monotonic() - start < 10


def test_others_can_be_let_in_only_with_a_token() -> None:
    with pytest.raises(SinkError, match="needs a token"):
        LivePage(Address("0.0.0.0", 0), [StatusKeeper("clip.mp4")], About("model"))


def test_the_token_is_asked_for_and_never_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "correct-horse-battery-staple"
    caplog.set_level(logging.DEBUG)
    camera = StatusKeeper("rtsp://admin:hunter2@yard/1")
    camera.enter(SourceState.ENDED, "refused")
    with LivePage(Address("0.0.0.0", 0), [camera], About("model"), token=secret) as page:
        local = f"127.0.0.1:{page.url.rpartition(':')[2]}"
        for path in ("watch", f"watch?token={secret}"):
            with pytest.raises(InvalidStatus) as refused:
                connect(f"ws://{local}{path}", open_timeout=20)
            assert refused.value.response.status_code == 403
        with connect(
            f"ws://{local}watch", additional_headers={"Authorization": f"Bearer {secret}"}
        ) as viewer:
            assert json.loads(viewer.recv())["type"] == "hello"
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(f"http://{local}?token={secret}", timeout=20) as answer:
            assert "token" not in answer.url
    ours = [record.getMessage() for record in caplog.records if record.name != "websockets.client"]
    said = "".join([*ours, *capfd.readouterr()])
    assert secret not in said
    assert "hunter2" not in said
