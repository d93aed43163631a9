"""The app without a network: who is let in, what health and metrics say, what is never given away."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")
pytest.importorskip("httpx2", reason="starlette's TestClient needs httpx2")

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from tests.fixtures.live_page import blob_result, plain_result, take_apart

from prm_runtime.segmenter import Segmenter
from prm_runtime.serve.access_token import Token
from prm_runtime.serve.app import STATIC, create_app
from prm_runtime.serve.hub import Hub
from prm_runtime.serve.metrics import Metrics
from prm_runtime.sources.status import SourceState, StatusKeeper

SECRET = "correct-horse-battery-staple"
BROWSER = {"accept": "text/html,application/xhtml+xml"}


class Served:
    """An app with two sources; one has a password in its address."""

    def __init__(self, token: str | None = None, base_url: str = "http://127.0.0.1:8080") -> None:
        self.clip = StatusKeeper("clip.mp4")
        self.camera = StatusKeeper("rtsp://admin:hunter2@yard/1")
        self.hub = Hub([self.clip, self.camera])
        self.metrics = Metrics(self.hub)
        app = create_app(
            self.hub, self.metrics, {"model": "m"}, token=Token(token) if token else None, port=8080
        )
        self.client = TestClient(app, base_url=base_url, follow_redirects=False)

    def watch(self, path: str = "/watch", **options):
        """A viewer's connection; a relative address would go to another host."""
        return self.client.websocket_connect(f"ws://{self.client.base_url.netloc.decode()}{path}", **options)

    def put(self, result) -> None:
        self.metrics.count(result, self.hub.put(result))


def test_the_page_and_all_its_files_come_from_here_and_run_no_inline_code() -> None:
    client = Served().client
    page = client.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in page.headers
    files = sorted(path.name for path in STATIC.iterdir())
    for name in files:
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["content-security-policy"] == policy
        text = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, name
        assert "https://" not in text, name
    assert "<script>" not in page.text
    assert "style=" not in page.text
    for name in ("page.css", "main.js", "icon.svg"):
        assert f"/static/{name}" in page.text
        assert name in files


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/nothing", "/static/"])
def test_nothing_else_is_served(path: str) -> None:
    assert Served().client.get(path).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080", "192.168.0.7:8080", ""])
def test_without_a_token_only_loopback_names_are_answered(host: str) -> None:
    served = Served()
    for path in ("/", "/metrics", "/healthz", "/static/main.js"):
        assert served.client.get(path, headers={"host": host}).status_code == 421
    with (
        pytest.raises(WebSocketDisconnect),
        served.watch(headers={"host": host}),
    ):
        pass


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:9", "[::1]:8080"])
def test_loopback_names_are_answered(host: str) -> None:
    assert Served().client.get("/", headers={"host": host}).status_code == 200


def test_scripts_of_other_pages_cannot_watch() -> None:
    served = Served()
    for origin in ("http://evil.example", "http://127.0.0.1:9999", "null"):
        with (
            pytest.raises(WebSocketDisconnect),
            served.watch(headers={"origin": origin, "host": "127.0.0.1:8080"}),
        ):
            pass
    with served.watch(headers={"origin": "http://127.0.0.1:8080", "host": "127.0.0.1:8080"}) as socket:
        assert socket.receive_json()["type"] == "hello"


class TestToken:
    def test_without_it_nothing_about_the_run_is_told(self) -> None:
        served = Served(SECRET, "http://robot.local:8080")
        for path in ("/", "/metrics", "/nothing", "/?token=wrong", "/?token="):
            answer = served.client.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "clip" not in answer.text
        for headers in (
            {"authorization": "Bearer wrong"},
            {"authorization": SECRET},
            {"cookie": "prm_8080=x"},
        ):
            assert served.client.get("/", headers=headers).status_code == 401
        with pytest.raises(WebSocketDisconnect), served.watch():
            pass
        with (
            pytest.raises(WebSocketDisconnect),
            served.watch(f"/watch?token={SECRET}"),  # addresses end up in logs
        ):
            pass

    def test_browsers_are_asked_for_it(self) -> None:
        answer = Served(SECRET).client.get("/", headers=BROWSER)
        assert answer.status_code == 401
        assert '<input id="token" name="token" type="password"' in answer.text

    def test_a_header_is_enough(self) -> None:
        served = Served(SECRET)
        bearer = {"authorization": f"Bearer {SECRET}"}
        assert served.client.get("/metrics", headers=bearer).status_code == 200
        with served.watch(headers=bearer) as socket:
            assert socket.receive_json()["type"] == "hello"

    def test_in_the_address_it_becomes_a_cookie_and_vanishes(self) -> None:
        served = Served(SECRET, "http://robot.local:8080")
        answer = served.client.get(f"/?token={SECRET}&a=1")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/?a=1"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie
        assert SECRET not in cookie
        assert served.client.get("/").status_code == 200
        with served.watch() as socket:
            assert socket.receive_json()["type"] == "hello"

    def test_behind_tls_the_cookie_stays_on_tls(self) -> None:
        answer = Served(SECRET, "https://robot.local").client.get(f"/?token={SECRET}")
        assert "Secure" in answer.headers["set-cookie"]

    @pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example"])
    def test_it_never_leads_elsewhere(self, path: str) -> None:
        answer = Served(SECRET).client.get(f"http://127.0.0.1:8080{path}?token={SECRET}")
        assert not answer.headers["location"].startswith(("//", "/\\", "http"))

    def test_health_may_be_asked_by_anybody_and_names_nobody(self) -> None:
        answer = Served(SECRET).client.get("/healthz")
        assert answer.status_code == 200
        assert "clip" not in answer.text
        assert "yard" not in answer.text


def test_health_is_good_while_anything_delivers_or_has_delivered_all() -> None:
    served = Served()
    health = served.client.get("/healthz")
    assert health.status_code == 200
    assert health.json()["sources"] == {"alive": 2, "waiting": 0, "finished": 0, "dead": 0}
    served.camera.enter(SourceState.ENDED, "refused")
    assert served.client.get("/healthz").status_code == 200
    served.clip.enter(SourceState.STALLED, "no frame for 5 s")
    health = served.client.get("/healthz")
    assert health.status_code == 503
    assert health.json() == {
        "status": "no source delivers",
        "sources": {"alive": 0, "waiting": 1, "finished": 0, "dead": 1},
    }
    served.clip.enter(SourceState.ENDED)
    assert served.client.get("/healthz").status_code == 200


def test_metrics_count_results_instances_latency_and_sources(colour_segmenter: Segmenter) -> None:
    served = Served()
    served.clip.enter(SourceState.RUNNING)
    served.clip.count(frames=5, dropped=2, skipped=1, reconnects=3)
    result = blob_result(colour_segmenter)
    with result.times.stage("forward"):
        pass
    for _ in range(2):
        served.put(result)
    served.put(plain_result("rtsp://yard/1", latency_s=0.25))
    answer = served.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["prm_results_total", "clip.mp4"] == 2
    labels = result.instances.labels
    assert samples["prm_instances_total", "clip.mp4", "red"] == 2 * labels.count("red") > 0
    assert samples["prm_latency_seconds_bucket", "0.2", "rtsp://yard/1"] == 0
    assert samples["prm_latency_seconds_count", "rtsp://yard/1"] == 1
    assert samples["prm_source_state", "clip.mp4", "running"] == 1
    assert samples["prm_source_state", "clip.mp4", "ended"] == 0
    assert samples["prm_source_dropped_total", "clip.mp4"] == 2
    assert samples["prm_source_reconnects_total", "clip.mp4"] == 3
    assert ("prm_stage_seconds_total", "forward") in samples
    assert samples["prm_viewers",] == 0


def test_credentials_of_a_source_reach_nobody() -> None:
    served = Served()
    served.put(plain_result("rtsp://yard/1"))
    with served.watch() as socket:
        hello = socket.receive_text()
        message = socket.receive_bytes()
    everything = hello + message.decode("latin-1") + served.client.get("/metrics").text
    assert "rtsp://yard/1" in everything
    assert "hunter2" not in everything
    assert "admin" not in everything


def test_a_viewer_gets_hello_then_results_as_fast_as_it_asks(colour_segmenter: Segmenter) -> None:
    served = Served()
    with served.watch() as socket:
        hello = socket.receive_json()
        assert hello["model"] == "m"
        assert [source["name"] for source in hello["sources"]] == ["clip.mp4", "rtsp://yard/1"]
        served.put(blob_result(colour_segmenter))
        header, _ = take_apart(socket.receive_bytes())
        assert [entry["label"] for entry in header["instances"]].count("red") == 2
        served.put(plain_result(index=1))
        assert take_apart(socket.receive_bytes())[0]["sequence"] == 2
        for n in range(2, 50):  # two are under way and none was asked for since
            served.put(plain_result(index=n))
        socket.send_json({"type": "next"})
        header, _ = take_apart(socket.receive_bytes())
        assert (header["sequence"], header["frame"]) == (50, 49)  # the 47 in between were skipped


def test_a_viewer_may_watch_one_source() -> None:
    served = Served()
    served.put(plain_result("clip.mp4"))
    served.put(plain_result("rtsp://yard/1"))
    with served.watch() as socket:
        socket.receive_json()
        assert {take_apart(socket.receive_bytes())[0]["source"] for _ in range(2)} == {0, 1}
        socket.send_json({"type": "watch", "source": 1})
        for n in range(3):
            socket.send_json({"type": "next"})
            served.put(plain_result("clip.mp4", n))
            served.put(plain_result("rtsp://yard/1", n))
            assert take_apart(socket.receive_bytes())[0]["source"] == 1


@pytest.mark.parametrize(
    "wish",
    ["no json", "[]", "{}", '{"type": "reboot"}', '{"type": "watch", "source": 9}', '{"type": "watch"}', "1"],
)
def test_a_viewer_that_makes_no_sense_is_sent_away(wish: str) -> None:
    served = Served()
    with served.watch() as socket:
        socket.receive_json()
        socket.send_text(wish)
        with pytest.raises(WebSocketDisconnect) as end:
            socket.receive_json()
    assert end.value.code == 1008
    assert json.loads(served.client.get("/healthz").text)["status"] == "ok"
