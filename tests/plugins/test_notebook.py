"""The notebook of docs/, executed as Jupyter does it: inside a loop that runs, with rich display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "ten_cells.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Its code cells, executed."""
    nbformat, nbclient = (
        pytest.importorskip("nbformat", reason="needs the extra dev"),
        pytest.importorskip("nbclient", reason="needs the extra dev"),
    )
    pytest.importorskip("ipykernel", reason="needs the extra dev")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(cell: Any, kind: str) -> str:
    """What a cell shows, in one MIME type or as text of a stream."""
    found = [output.get("data", {}).get(kind, "") for output in cell.outputs]
    return "".join(found) + "".join(output.text for output in cell.outputs if output.get("name") == kind)


@pytest.mark.slow
@pytest.mark.train
def test_ten_cells_go_from_seeds_to_a_judged_model(cells):
    assert len(cells) == 10
    assert "<td>model</td><td>40</td><td>40</td>" in outputs(cells[9], "text/html")
    assert outputs(cells[8], "stdout").strip()


@pytest.mark.slow
@pytest.mark.train
def test_what_works_shows_a_bar_and_results_are_tables(cells):
    for cell in cells[2:5]:
        assert "<progress" in outputs(cell, "text/html")
        assert "<table>" in outputs(cell, "text/html")
        assert "✓ " in outputs(cell, "stdout")
    assert "<progress" in outputs(cells[7], "text/html")
    assert "dataframe" in outputs(cells[5], "text/html")


def test_no_output_is_kept_in_the_repository():
    nbformat = pytest.importorskip("nbformat", reason="needs the extra dev")
    assert all(not cell.get("outputs") for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
