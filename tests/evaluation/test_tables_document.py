"""The file that holds the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from prm_evaluation.tables.document import BEGIN, END, Document
from prm_runtime.console import PrmError


def test_figures_go_between_the_markers(tmp_path: Path):
    path = tmp_path / "results.md"
    path.write_text(f"# Results\n\n{BEGIN}\nold\n{END}\n\nText after.\n")
    for _ in range(2):  # a second run changes nothing
        Document.open(path).write("new\n")
        assert path.read_text() == f"# Results\n\n{BEGIN}\n\nnew\n{END}\n\nText after.\n"


def test_the_docs_have_a_place_for_the_figures():
    document = Document.open(Path(__file__).parents[2] / "docs" / "results.md")
    assert document.before.startswith("# Results beside the paper's")
    assert document.after.startswith(END)


def test_a_file_without_markers_is_the_figures(tmp_path: Path):
    path = tmp_path / "tables.md"
    Document.open(path).write("first\n")
    Document.open(path).write("second\n")
    assert path.read_text() == "second\n"


@pytest.mark.parametrize("text", [f"{BEGIN}\n", f"{END}\n", f"{END}\n{BEGIN}\n"])
def test_half_a_pair_of_markers_is_refused(text: str, tmp_path: Path):
    path = tmp_path / "results.md"
    path.write_text(text)
    with pytest.raises(PrmError, match="should have both lines"):
        Document.open(path)


def test_pictures_are_linked_from_the_documents_folder(tmp_path: Path):
    document = Document(tmp_path / "docs" / "results.md")
    assert document.link(tmp_path / "docs" / "images" / "fig6-1.png") == "images/fig6-1.png"
    assert document.link(tmp_path / "plots" / "a.png") == "../plots/a.png"
