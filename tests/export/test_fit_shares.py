"""Kernels that peaks share by, fitted to exact maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file
from tests.export.test_passes_shares import deep_net
from tests.fixtures.command_line import Command
from tests.fixtures.media import moving_blobs, write_png
from tests.fixtures.small_nets import Compiled, assert_maps_agree, options, random_image

from prm_export.errors import ExportError
from prm_export.fit_shares import OUTPUTS, PeakWalker, Walks, fit_shares, misplaced
from prm_export.pipeline import Graphs, build_graphs
from prm_export.share_kernels import FittedShares, ShareKernels, gaussian, kernels_in
from prm_proposals.peaks import live_peaks
from prm_proposals.settings import RetrievalSettings
from prm_runtime.bundle import Bundle, with_manifest

WALK = ["--stop-stride", "2", "--split-reach", "1"]
ALL_LIVE = RetrievalSettings(presence=-1e9, peak_floor=-1e9, peak_ratio=0, max_peaks=6)
SHARED = ["--prm", "shared", *WALK]


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return build_graphs(deep_net(), options(1, split_reach=1))


@pytest.fixture(scope="module")
def walks(graphs: Graphs) -> list[Walks]:
    walk_peaks = PeakWalker(graphs, options(1, split_reach=1), ALL_LIVE)
    found = [walk_peaks(random_image(seed)) for seed in range(12)]
    return [one for one in found if one is not None]


def test_walks_end_in_exact_maps(walks: list[Walks]) -> None:
    exact = Compiled(build_graphs(deep_net(), options(1)))
    outputs = exact.forward(random_image(0))
    table, *rest = (outputs[name][0] for name in OUTPUTS)
    prms = exact.backprop(table[live_peaks(table, *rest, ALL_LIVE)], outputs)
    assert_maps_agree(walks[0].at_stop.numpy(), prms, 1e-4)
    np.testing.assert_allclose(walks[0].at_split.float().sum((1, 2, 3)), 1, atol=0.01)  # kept as bfloat16


def test_fitted_kernels_misplace_less_than_a_gaussian(walks: list[Walks]) -> None:
    *_, fitted = fit_shares(walks[:8], steps=150)
    before, after = (misplaced(walks[8:], kernels) for kernels in (gaussian(1.0), fitted))
    assert after < 0.9 * before
    assert all((kernel >= 0).all() for kernel in fitted.kernels)
    assert fitted.kernels[-1].shape[0] == 1


def test_what_is_fitted_depends_on_the_seed_alone(walks: list[Walks]) -> None:
    first, again, other = (list(fit_shares(walks, steps=3, seed=seed))[-1] for seed in (0, 0, 1))
    assert np.array_equal(first.mix, again.mix)
    assert not np.array_equal(first.mix, other.mix)


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(ExportError, match="no picture has two live peaks"):
        next(fit_shares([]))


def test_a_file_holds_what_was_fitted(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    kernels = random.random((2, 2, 5, 5)), random.random((1, 2, 5, 5))
    mix = random.random((6, 2)).astype(np.float32)
    fitted = FittedShares(ShareKernels(mix, tuple(k.astype(np.float32) for k in kernels)), 1, 16, True)
    fitted.write(tmp_path / "shares.safetensors")
    found = FittedShares.read(tmp_path / "shares.safetensors")
    assert (found.split_reach, found.stop_stride, found.stop_early) == (1, 16, True)
    assert found.kernels.mix is not None
    np.testing.assert_array_equal(found.kernels.mix, mix)
    for ours, theirs in zip(found.kernels.kernels, fitted.kernels.kernels, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ExportError, match="give a file that prm-export fit-shares wrote"):
        FittedShares.read(tmp_path / "x")


def test_a_file_about_another_walk_than_ours_is_refused(tmp_path: Path) -> None:
    save_file({"kernel_0": np.ones((1, 1, 3, 3), np.float32)}, tmp_path / "x", {"prm_shares": '{"reach": 1}'})
    with pytest.raises(ExportError, match="give a file that prm-export fit-shares wrote"):
        FittedShares.read(tmp_path / "x")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n, frame in enumerate(moving_blobs(12)):
        write_png(folder / f"{n:02d}.png", frame)
    return folder


@pytest.mark.usefixtures("ready_classifier")
def test_a_bundle_takes_what_was_fitted_and_keeps_it(
    prm_export: Command, checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    file, first, again = (tmp_path / name for name in ("shares.safetensors", "first.prm", "again.prm"))
    result = prm_export("fit-shares", checkpoint, pictures, "-o", file, *WALK)
    assert result.code == 1
    assert "no picture has two live peaks" in " ".join(result.err.split())
    assert prm_export(checkpoint, "-o", first).code == 0
    bundle = Bundle.open(first)
    with_manifest(bundle, bundle.manifest.model_copy(update={"retrieval": ALL_LIVE}), first)
    result = prm_export("fit-shares", first, pictures, "-o", file, *WALK, "--count", 12, "--steps", 20)
    assert result.code == 0, result.err
    assert "of a peak's probability" in result.err
    assert prm_export(checkpoint, "-o", first, *SHARED, "--shares", file).code == 0
    assert prm_export(first, "-o", again, *SHARED).code == 0
    assert prm_export(first, "-o", tmp_path / "other.prm", *SHARED, "--stop-early").code == 0
    fitted = FittedShares.read(file).kernels
    for path in (first, again):
        found = kernels_in(onnx.load_from_string(Bundle.open(path).read("backprop.onnx")))
        assert found is not None
        np.testing.assert_allclose(found.mix, fitted.mix)
        assert len(found.kernels) == len(fitted.kernels)
    other = onnx.load_from_string(Bundle.open(tmp_path / "other.prm").read("backprop.onnx"))
    assert kernels_in(other) is None  # they were fitted to another walk


@pytest.mark.usefixtures("ready_classifier")
def test_what_cannot_be_used_is_said(
    prm_export: Command, checkpoint: Path, pictures: Path, tmp_path: Path
) -> None:
    output, file = tmp_path / "x.prm", tmp_path / "shares.safetensors"
    FittedShares(gaussian(1.0), 2, 16, stop_early=False).write(file)
    for arguments, message in (
        ([*SHARED, "--shares", file], "was fitted for --stop-stride 16 --split-reach 2"),
        ([*SHARED, "--shares", tmp_path / "none"], "cannot be read as share kernels"),
        (["--prm", "shared", "--shares", file], "--shares goes with --split-reach"),
    ):
        result = prm_export(checkpoint, "-o", output, *arguments)
        assert result.code == 1
        assert message in " ".join(result.err.split())
        assert not output.exists()
    result = prm_export("fit-shares", checkpoint, tmp_path / "nowhere", "-o", file, *WALK)
    assert result.code == 1
    assert "no such folder" in result.err.splitlines()[-1]
