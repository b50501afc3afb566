"""The notebooks run from top to bottom, and print what they show.

After a change: python tests/docs/test_notebooks.py runs them all and keeps what they print.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "docs" / "notebooks").glob("*.ipynb"))


def execute(path: Path, folder: Path) -> Any:
    """The notebook after it has been run in ``folder``; CellExecutionError names the cell that failed."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, record_timing=False, kernel_name="python3", resources=resources).execute()
    return notebook


def printed(notebook: Any) -> list[str]:
    """The text of every output, in order; a figure counts by its SVG."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [o.get("text") or o["data"].get("image/svg+xml") or o["data"]["text/plain"] for o in outputs]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_notebook_prints_what_it_shows(path: Path, tmp_path: Path) -> None:
    shown = printed(nbformat.read(path, as_version=4))
    assert shown
    assert printed(execute(path, tmp_path)) == shown


if __name__ == "__main__":
    import tempfile

    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(execute(path, Path(folder)), path)
