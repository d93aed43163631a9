"""The ``prm-run`` command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import typer
from tests.fixtures.colour_blobs import draw_blobs
from tests.fixtures.media import moving_blobs, write_h264_video, write_lossless_video, write_png

from prm_runtime.bundle import BundleError
from prm_runtime.cli import main
from prm_runtime.console import PrmError, run
from prm_runtime.interrupts import Interrupts

PrmRun = Callable[..., Any]


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_png(tmp_path / "blobs.png", draw_blobs()[0])


def test_one_run_with_every_sink(prm_run: PrmRun, colour_bundle: Path, tmp_path: Path) -> None:
    fps = Fraction(25)
    clip = write_lossless_video(tmp_path / "clip.mkv", moving_blobs(4), fps)
    out = tmp_path / "out"
    result = prm_run(
        clip, "--model", colour_bundle, "--save-json", out / "a.jsonl", "--save-video", out / "a.mp4",
        "--save-images", out / "images", "--save-prm", out / "prm", "--classes", "red,Green", "--threads", 1,
    )  # fmt: skip
    assert result.code == 0, result.err
    lines = records(out / "a.jsonl")
    assert [(line["source"], line["frame"]) for line in lines] == [(str(clip), n) for n in range(4)]
    assert {entry["label"] for line in lines for entry in line["instances"]} == {"red", "green"}
    with av.open(str(out / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == fps
        assert sum(1 for _ in container.decode(video=0)) == 4
    assert len(list((out / "images").iterdir())) == 4
    assert len(list((out / "prm").iterdir())) == sum(len(line["instances"]) for line in lines)
    for stage in ("decode", "forward", "back-propagation", "proposals", "retrieval", "draw"):
        assert stage in result.err
    assert "fps" in result.err
    assert result.out == ""


def test_a_picture_alone_in_a_folder_and_in_a_video_gives_identical_results(
    prm_run: PrmRun, colour_bundle: Path, tmp_path: Path
) -> None:
    frames = moving_blobs(3)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n, frame in enumerate(frames):
        write_png(folder / f"{n}.png", frame)
    clip = write_lossless_video(tmp_path / "clip.mkv", frames, Fraction(25))
    found = {}
    for name, source in {"folder": folder, "video": clip, "alone": folder / "1.png"}.items():
        path = tmp_path / f"{name}.jsonl"
        assert prm_run(source, "--model", colour_bundle, "--save-json", path).code == 0
        found[name] = [record["instances"] for record in records(path)]
    assert len(found["folder"][1]) == 3
    assert found["folder"] == found["video"]
    assert found["alone"] == [found["folder"][1]]


def test_without_a_sink_it_says_what_it_found(prm_run: PrmRun, colour_bundle: Path, picture: Path) -> None:
    result = prm_run(picture, "--model", colour_bundle)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0] == f"{picture}: 3 instances"
    assert sorted(line.split()[0] for line in lines[1:]) == ["green", "red", "red"]


def test_json_on_standard_output_is_nothing_but_json(
    prm_run: PrmRun, colour_bundle: Path, picture: Path
) -> None:
    result = prm_run(picture, "--model", colour_bundle, "--save-json", "-")
    assert len(json.loads(result.out)["instances"]) == 3


def test_min_score(prm_run: PrmRun, colour_bundle: Path, picture: Path) -> None:
    result = prm_run(picture, "--model", colour_bundle, "--min-score", 1)
    assert result.out.startswith(f"{picture}: no instances")


def test_a_corrupt_picture_in_a_folder_is_named_and_shows_in_the_exit_code(
    prm_run: PrmRun, colour_bundle: Path, picture: Path
) -> None:
    (picture.parent / "bad.png").write_bytes(b"no picture")
    result = prm_run(picture.parent, "--model", colour_bundle)
    assert result.code == 3
    assert "blobs.png: 3 instances" in result.out
    assert "bad.png: cannot be decoded" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.png"], 1, "none.png: no such file"),
        (["blobs.png", "--model", "none.prm"], 1, "none.prm: no such bundle"),
        (["blobs.png", "--model", "blobs.png"], 1, "blobs.png: not a bundle"),
        (["blobs.png", "--classes", "rde"], 1, "unknown class 'rde'; did you mean red?"),
        (["blobs.png", "--classes", "zebra"], 1, "known are: red, green, blue"),
        (["blobs.png", "--backend", "tpu"], 1, "unknown backend 'tpu'; choose one of: onnxruntime, openvino"),
        (["blobs.png", "--save-video", "out.txt"], 1, "cannot write H.264"),
        (["blobs.png", "--save-json", "blobs.png"], 1, "blobs.png is the source itself"),
        (["blobs.png", "--show"], 1, "--show needs a display"),
        (["clip.mp4"], 1, "clip.mp4: cannot be read; it is damaged or not a video"),
        (["blobs.png", "--min-score", "7"], 2, "--min-score"),
        (["blobs.png", "--retrieval", "guess"], 2, "--retrieval"),
        (["blobs.png", "--surprise"], 2, "--surprise"),
    ],
)
def test_mistakes_end_in_one_clear_line(
    prm_run: PrmRun,
    monkeypatch: pytest.MonkeyPatch,
    colour_bundle: Path,
    picture: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(picture.parent)
    Path("clip.mp4").write_bytes(b"no video")
    model = [] if "--model" in arguments else ["--model", colour_bundle]
    result = prm_run(*arguments, *model)
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err
    if code == 1:
        assert len(result.err.strip().splitlines()) == 1


def test_version(prm_run: PrmRun) -> None:
    result = prm_run("--version")
    assert result.code == 0
    assert result.out.startswith("prm-edge ")


def test_debug_lets_the_error_through_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["prm-run", "x.png", "--model", "none.prm", "--debug"])
    with pytest.raises(BundleError):
        main()


def test_ctrl_c_leaves_finished_files(colour_bundle: Path, tmp_path: Path) -> None:
    frames = [np.full((64, 64, 3), 100, np.uint8)] * 2000
    clip = write_h264_video(tmp_path / "clip.mp4", frames, Fraction(25))
    lines, video = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    arguments = [clip, "--model", colour_bundle, "--save-json", lines, "--save-video", video]
    process = subprocess.Popen(
        [sys.executable, "-m", "prm_runtime", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not (lines.exists() and lines.read_text().count("\n") >= 3):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    count = len(records(lines))
    assert 3 <= count < len(frames)
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == count


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_a_second_one_acts_as_usual(number: signal.Signals) -> None:
    usual: list[int] = []
    before = signal.signal(number, lambda received, _: usual.append(received))
    try:
        with Interrupts() as interrupts:
            assert interrupts.exit_code == 0
            signal.raise_signal(number)
            assert (interrupts.received, usual) == (number, [])
            assert interrupts.exit_code == 128 + number
            signal.raise_signal(number)
            assert usual == [number]
        signal.raise_signal(number)
        assert usual == [number, number]
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PrmError('run: pip install "prm-edge[openvino]"'), 'error: run: pip install "prm-edge[openvino]"'),
        (ZeroDivisionError("oops"), "error: ZeroDivisionError: oops (--debug shows where)"),
    ],
)
def test_errors_are_one_whole_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["fail"])
    monkeypatch.delenv("PRM_DEBUG", raising=False)
    with pytest.raises(SystemExit) as caught:
        run(app)
    assert caught.value.code == 1
    assert capsys.readouterr().err.strip() == line
