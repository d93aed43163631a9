from __future__ import annotations

import json
import socket
import sys
import urllib.request
from fractions import Fraction
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from tests.fixtures.live_page import wait_until
from tests.fixtures.media import moving_blobs, write_lossless_video
from tests.fixtures.mjpeg_server import MjpegServer
from tests.fixtures.served_run import ServedRun

SECRET = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lossless_video(tmp_path_factory.mktemp("clip") / "clip.mkv", moving_blobs(5), Fraction(25))


def health(url: str) -> dict[str, object]:
    with urllib.request.urlopen(f"{url}healthz", timeout=20) as answer:  # noqa: S310 (our own page)
        return json.load(answer)


def test_what_cannot_be_served_is_one_line_and_no_run(
    prm_run, clip: Path, colour_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRM_SERVE_TOKEN", raising=False)
    out = tmp_path / "out.jsonl"
    out.write_text("of the run before\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for address, reason in [
            ("nowhere", "expected HOST:PORT or PORT"),
            (f"127.0.0.1:{port}", "cannot listen there (address already in use)"),
            ("0.0.0.0:0", "others can reach this address; set PRM_SERVE_TOKEN"),
        ]:
            done = prm_run(clip, "--model", colour_bundle, "--serve", address, "--save-json", out)
            assert done.code == 1
            assert reason in done.err
            assert done.err.count("\n") == 1
    assert out.read_text() == "of the run before\n"


def test_without_the_extra_it_says_what_to_install(
    prm_run, clip: Path, colour_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "prm_runtime.serve.page", raising=False)
    done = prm_run(clip, "--model", colour_bundle, "--serve", "0")
    assert done.code == 1
    assert 'pip install "prm-edge[serve]"' in done.err


def test_without_hold_the_page_ends_with_the_source(prm_run, clip: Path, colour_bundle: Path) -> None:
    done = prm_run(clip, "--model", colour_bundle, "--serve", "0", "--no-serve-hold")
    assert done.code == 0
    assert "live page: http://127.0.0.1:" in done.err
    assert "until Ctrl-C" not in done.err


def test_the_page_outlives_the_clip_until_it_is_interrupted(
    clip: Path, colour_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    run = ServedRun(clip, "--model", colour_bundle, "--serve", "0", "--save-json", out)
    wait_until(lambda: "stays at" in run.told, "the clip's end")
    assert len(out.read_text().splitlines()) == 5  # files are complete before
    assert health(run.url)["sources"] == {"alive": 0, "waiting": 0, "finished": 1, "dead": 0}
    assert run.stop() == 0  # everything was done


def test_a_run_whose_only_source_dies_ends_and_gives_no_secret_away(colour_bundle: Path) -> None:
    camera = MjpegServer(moving_blobs(3), 8)
    run = ServedRun(
        camera.url.replace("http://", "http://admin:hunter2@"),
        *("--model", colour_bundle, "--serve", "0.0.0.0:0", "--retry-for", "1"),
        PRM_SERVE_TOKEN=SECRET,
    )
    port = run.url.rpartition(":")[2]

    def metrics() -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}metrics", headers={"Authorization": f"Bearer {SECRET}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.read().decode()

    wait_until(lambda: f'prm_results_total{{source="{camera.url}"}}' in metrics(), "a result")
    assert "hunter2" not in metrics()
    camera.unplug()
    assert run.wait() == 3
    assert SECRET not in run.told
    assert "hunter2" not in run.told
