"""``prm-run --ray`` on a local Ray of two cores: the same results as the plain run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from skimage import data
from tests.fixtures.colour_blobs import BLOBS, draw_blobs
from tests.fixtures.media import write_png
from tests.runtime.conftest import Finished

ray = pytest.importorskip("ray", reason='needs Ray: pip install "prm-edge[ray]"')
pq = pytest.importorskip("pyarrow.parquet")

from prm_runtime.console import PrmError  # noqa: E402
from prm_runtime.distributed.folder import claim_folder  # noqa: E402
from prm_runtime.distributed.run import devices, reason  # noqa: E402
from prm_runtime.distributed.table import (  # noqa: E402
    finished_sources,
    problem_row,
    read_rows,
    remove_damaged,
    row_instances,
    to_table,
)
from prm_runtime.results import frame_record  # noqa: E402
from prm_runtime.segmenter import Segmenter  # noqa: E402
from prm_runtime.sources import Frame  # noqa: E402

Run = Callable[..., Finished]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One Ray for all tests: starting it takes longer than they do."""
    for attempt in range(3):
        try:
            ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            break
        except Exception as error:  # Ray gives itself 30 s, which a busy machine may exceed
            ray.shutdown()
            if attempt == 2 or "timed out during startup" not in str(error):
                raise
    # Ray's handlers keep the stderr of the test that first used them, which pytest has closed since
    complains, logging.raiseExceptions = logging.raiseExceptions, False
    yield
    logging.raiseExceptions = complains
    ray.shutdown()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("astronaut", "chelsea", "coffee"):
        write_png(folder / f"{name}.png", getattr(data, name)())
    return folder


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    folder = tmp_path / "blobs"
    folder.mkdir()
    for n in range(4):
        write_png(folder / f"{n}.png", draw_blobs(BLOBS[: n % 4])[0])
    return folder


def test_the_same_results_as_a_plain_run(prm_run: Run, local_ray: None, photos: Path, tmp_path: Path) -> None:
    """With the shipped model, through the same sinks, byte by byte."""
    options = ("--backend", "onnxruntime", "--threads", "1", "--min-score", "0.05")
    plain, mapped = tmp_path / "plain", tmp_path / "ray"
    for folder, more in ((plain, ()), (mapped, ("--ray", tmp_path / "parquet"))):
        sinks = ("--save-json", folder / "out.jsonl", "--save-coco", folder / "coco.json")
        assert prm_run(photos, *options, *sinks, *more).code == 0
    for name in ("out.jsonl", "coco.json"):
        assert (mapped / name).read_bytes() == (plain / name).read_bytes()
    lines = [json.loads(line) for line in (plain / "out.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert sum(len(line["instances"]) for line in lines) > 3
    rows = pq.read_table(tmp_path / "parquet").to_pylist()
    assert all(row.pop("problem") is None for row in rows)
    assert sorted(rows, key=lambda row: row["source"]) == lines


def test_it_goes_on_where_it_stopped(
    prm_run: Run, local_ray: None, blobs: Path, colour_bundle: Path, tmp_path: Path
) -> None:
    out, arguments = tmp_path / "out", ("--model", colour_bundle, "--backend", "onnxruntime")
    first = prm_run(blobs / "0.png", blobs / "1.png", "--ray", out, *arguments)
    assert (first.code, len(finished_sources(out))) == (0, 2)
    (out / "killed.parquet").write_bytes(next(out.glob("*.parquet")).read_bytes()[:-40])
    (blobs / "4.png").write_bytes(b"no picture")
    names = [blobs / f"{n}.png" for n in range(5)]
    second = prm_run(*names, "--ray", out, *arguments)
    assert second.code == 3
    assert "2 of 5 pictures were done before" in second.err
    assert "killed.parquet: a killed run left it unfinished" in second.err.replace("\n", "")
    assert "4.png: cannot be decoded" in second.err
    rows = {Path(row["source"]).stem: row for row in pq.read_table(out).to_pylist()}
    assert [len(rows[str(n)]["instances"]) for n in range(4)] == [0, 1, 2, 3]
    assert len(finished_sources(out)) == 4  # what could not be read will be tried again
    assert prm_run(*names[:4], "--ray", out, *arguments).code == 0


def test_an_error_of_every_picture_is_one_line(
    prm_run: Run, local_ray: None, blobs: Path, colour_bundle: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "galleries"
    empty.mkdir()
    found = prm_run(
        blobs,
        "--ray",
        tmp_path / "out",
        "--model",
        colour_bundle,
        "--proposals",
        empty,
        "--backend",
        "onnxruntime",
    )
    assert found.code == 1
    assert "Traceback" not in found.err
    assert "galler" in found.err


def test_what_cannot_go_with_it_is_refused(prm_run: Run, blobs: Path, tmp_path: Path) -> None:
    found = prm_run(
        blobs, "--ray", tmp_path / "out", "--save-prm", tmp_path / "prm", "--backend", "onnxruntime"
    )
    assert (found.code, "--save-prm cannot go with --ray" in found.err) == (1, True)
    clip = Path(__file__).parents[2] / "demo" / "bikes.mp4"
    found = prm_run(clip, "--ray", tmp_path / "out", "--backend", "onnxruntime")
    assert (found.code, "--ray maps over pictures" in found.err) == (1, True)


def test_a_folder_keeps_to_its_settings(tmp_path: Path) -> None:
    claim_folder(tmp_path / "a", {"model": "x", "min_score": 0.2})
    claim_folder(tmp_path / "a", {"model": "x", "min_score": 0.2})
    with pytest.raises(PrmError, match=r"holds results with min_score 0\.2, and 0\.3 was asked for"):
        claim_folder(tmp_path / "a", {"model": "x", "min_score": 0.3})
    (tmp_path / "foreign.parquet").touch()
    with pytest.raises(PrmError, match="holds Parquet files of something else"):
        claim_folder(tmp_path, {})


def test_rows_keep_what_json_lines_hold(colour_segmenter: Segmenter, tmp_path: Path) -> None:
    frame = Frame(draw_blobs()[0], "a.png", 0, None)
    record = frame_record(frame, colour_segmenter(frame.image))
    pq.write_table(to_table([problem_row("a.png", "lost"), record]), tmp_path / "x.parquet")
    pq.write_table(to_table([problem_row("b.png", "gone")]), tmp_path / "y.parquet")
    assert finished_sources(tmp_path) == {"a.png"}
    a, b = read_rows(tmp_path, ["a.png", "b.png"])
    assert b["problem"] == "gone"
    assert frame_record(frame, row_instances(a, colour_segmenter.classes)) == record
    assert remove_damaged(tmp_path) == []


@pytest.mark.parametrize(
    ("backend", "resources", "expected"),
    [
        ("onnxruntime", [{"CPU": 8}, {"CPU": 4}], (2, {"num_cpus": 3})),
        ("openvino", [{"CPU": 1}], (1, {"num_cpus": 1})),
        ("tensorrt-fp16", [{"CPU": 8, "GPU": 2}, {"CPU": 4, "GPU": 1}, {"CPU": 4}], (3, {"num_gpus": 1})),
    ],
)
def test_one_actor_per_device(backend: str, resources: list[dict], expected: tuple) -> None:
    lost = {"Alive": False, "Resources": {"CPU": 64, "GPU": 8}}
    assert devices(backend, [{"Alive": True, "Resources": r} for r in resources] + [lost]) == expected


def test_no_device_is_an_error_for_people() -> None:
    with pytest.raises(PrmError, match="'cuda' needs a GPU, and Ray sees none"):
        devices("cuda", [{"Alive": True, "Resources": {"CPU": 2}}])


def test_other_errors_keep_their_last_line() -> None:
    assert reason(RuntimeError("a\n\nTraceback\n  out of memory\n")) == "Ray gave up: out of memory"
    ours = "Traceback\n  File x\nprm_runtime.bundle.BundleError: a.prm: no such bundle"
    assert reason(RuntimeError(ours)) == "a.prm: no such bundle"
