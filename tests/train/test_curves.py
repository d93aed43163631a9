"""Training curves, out of the logs that runs leave."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from matplotlib.figure import Figure
from tests.fixtures.command_line import Command

from prm_runtime.console import PrmError
from prm_train.curves import Curves, draw_curves, read_curves

HEADER = "classification_map,learning_rate,loss,step,step_loss"


def write_log(run: Path, *versions: list[str]) -> Path:
    for number, rows in enumerate(versions):
        folder = run / "csv" / f"version_{number}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return run


def test_steps_are_left_out_and_resumptions_go_on(tmp_path: Path) -> None:
    first = [",0.1,,0,0.9", "0.5,,0.8,2,", ",0.1,,2,0.7", "0.6,,0.6,4,"]
    run = write_log(tmp_path / "run", first, [], ["0.7,,0.5,4,", "0.8,,0.4,6,"])
    (run / "csv" / "version_10").mkdir()
    curves = read_curves(run)
    assert curves.name == "run"
    assert curves.metrics == {
        "loss": {2: 0.8, 4: 0.5, 6: 0.4},
        "classification_map": {2: 0.5, 4: 0.7, 6: 0.8},
    }


def test_lines_are_the_values_by_epoch() -> None:
    runs = [
        Curves("a", {"loss": {2: 0.8, 4: 0.5}, "classification_map": {}}),
        Curves("b", {"loss": {7: 0.9, 14: 0.7}, "classification_map": {7: 0.3, 14: 0.4}}),
    ]
    figure = Figure()
    draw_curves(runs, figure)
    loss, quality = figure.axes
    assert [list(line.get_xdata()) for line in loss.lines] == [[1, 2], [1, 2]]
    assert list(loss.lines[0].get_ydata()) == [0.8, 0.5]
    assert list(quality.lines[1].get_ydata()) == [0.3, 0.4]
    assert [line.get_label() for line in loss.lines] == ["a", "b"]
    alone = Figure()
    draw_curves(runs[:1], alone)
    assert len(alone.axes) == 1


@pytest.mark.parametrize("name", ["curves.png", "curves.svg"])
def test_trained_runs_become_a_picture(
    name: str, train_tiny: Command, prm_train: Command, folder: Path, tmp_path: Path
) -> None:
    assert train_tiny(folder, "--out", tmp_path / "run").code == 0
    result = prm_train("curves", tmp_path / "run", "-o", tmp_path / name)
    assert result.code == 0, result.err
    if name.endswith("png"):
        assert cv2.imread(str(tmp_path / name)).std() > 5
    else:
        assert "<svg" in (tmp_path / name).read_text()


def test_what_cannot_be_drawn_is_named(prm_train: Command, tmp_path: Path) -> None:
    with pytest.raises(
        PrmError, match="holds no log of a finished epoch: give the folder of prm-train --out"
    ):
        read_curves(write_log(tmp_path, [",0.1,,0,0.9"]))
    refused = prm_train("curves", tmp_path, "-o", tmp_path / "curves.txt")
    assert refused.code == 1
    assert "should end in .png, .svg or .pdf" in refused.err
