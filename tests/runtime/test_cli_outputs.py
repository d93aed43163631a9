"""``prm-run`` into every format, and ``prm-run recover`` after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader
from pycocotools.coco import COCO
from tests.fixtures.media import moving_blobs, write_lossless_video

PrmRun = Callable[..., Any]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lossless_video(tmp_path_factory.mktemp("clip") / "clip.mkv", moving_blobs(3), Fraction(25))


@pytest.mark.parametrize("label_format", ["coco", "yolo", "labelme"])
def test_one_run_with_all_formats(
    prm_run: PrmRun,
    colour_bundle: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    label_format: str,
) -> None:
    (tmp_path / "mine.py").write_text(
        "def on_result(result): print(result.frame.index, len(result.instances))"
    )
    monkeypatch.chdir(tmp_path)
    result = prm_run(
        clip, "--model", colour_bundle, "--save-labels", "labels", "--format", label_format,
        "--save-coco", "results.json", "--save-mcap", "out.mcap", "--callback", "mine:on_result",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert [line.split() for line in result.out.splitlines()] == [["0", "3"], ["1", "3"], ["2", "3"]]
    assert len(json.loads(Path("results.json").read_text())) == 9
    with Path("out.mcap").open("rb") as file:
        assert sum(1 for _ in make_reader(file).iter_messages()) == 9
    labels = {"coco": "annotations/*.json", "yolo": "labels/train/*.txt", "labelme": "*.json"}[label_format]
    assert len(list(Path("labels").glob(labels))) == (1 if label_format == "coco" else 3)
    assert len(list(Path("labels").rglob("*.jpg"))) == 3


def test_tracked_instances_carry_their_ids(
    prm_run: PrmRun, colour_bundle: Path, clip: Path, tmp_path: Path
) -> None:
    result = prm_run(clip, "--model", colour_bundle, "--track", "--save-json", tmp_path / "a.jsonl")
    assert result.code == 0, result.err
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    ids = [sorted((i["label"], i["track_id"]) for i in line["instances"]) for line in lines[1:]]
    assert ids[0] == ids[1]
    assert sorted(track for _, track in ids[0]) == [0, 1, 2]
    assert {entry["track_id"] for entry in lines[0]["instances"]} == {None}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine", "expected MODULE:FUNCTION"),
        ("no_such_module_of_mine:f", "cannot import no_such_module_of_mine"),
        ("json:no_such_function", "json has no no_such_function"),
        ("json:__name__", "is no function"),
    ],
)
def test_a_callback_that_is_none_is_refused(
    prm_run: PrmRun, colour_bundle: Path, clip: Path, name: str, message: str
) -> None:
    result = prm_run(clip, "--model", colour_bundle, "--callback", name)
    assert result.code == 1
    assert message in result.err


def test_a_callback_that_fails_is_named_and_the_files_go_on(
    prm_run: PrmRun, colour_bundle: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing.py").write_text(
        "def on_result(result):\n    if result.frame.index == 1: raise RuntimeError('no arm')"
    )
    monkeypatch.chdir(tmp_path)
    result = prm_run(
        clip, "--model", colour_bundle, "--callback", "failing:on_result", "--save-coco", "r.json"
    )
    assert result.code == 3
    assert f"the callback failed at frame 1 of {clip}: RuntimeError: no arm" in result.err
    assert {entry["image_id"] for entry in json.loads(Path("r.json").read_text())} == {1, 2, 3}


def test_a_killed_run_is_recovered(prm_run: PrmRun, colour_bundle: Path, tmp_path: Path) -> None:
    clip = write_lossless_video(tmp_path / "clip.mkv", moving_blobs(60), Fraction(25))
    arguments = [
        clip,
        "--model",
        colour_bundle,
        "--save-labels",
        tmp_path / "l",
        "--save-mcap",
        tmp_path / "a.mcap",
    ]
    command = [sys.executable, "-m", "prm_runtime", *map(str, arguments)]
    journal = tmp_path / "l" / "annotations" / "instances_default.json.journal"
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stderr=subprocess.DEVNULL
    ) as process:
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    frames = journal.read_bytes().count(b"\n") - 1
    result = prm_run("recover", journal, tmp_path / "a.mcap")
    assert result.code == 0, result.err
    coco = COCO(str(journal.with_suffix("")))
    assert len(coco.imgs) == frames
    assert all((tmp_path / "l/images/default" / i["file_name"]).is_file() for i in coco.imgs.values())
    with (tmp_path / "a.mcap").open("rb") as file:
        records = [json.loads(m.data) for *_, m in make_reader(file).iter_messages(["/clip/instances"])]
    assert [record["frame"] for record in records] == list(range(len(records)))
    assert len(records) >= frames - 1


@pytest.mark.parametrize("name", ["missing.json", "notes.txt"])
def test_recover_says_what_it_expects(prm_run: PrmRun, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    result = prm_run("recover", tmp_path / name)
    assert result.code == 1
    assert "expected an MCAP file or a journal" in result.err
