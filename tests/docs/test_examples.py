"""What the pages show is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from forekey.testing import write_shop_postgres
from tests.docs.pages import DOCS, RUN, agrees, blocks, front_matter, pages, reading

EXAMPLES = [p for p in pages() if any(b.language in RUN for b in blocks(p)) and p.name != "pql.md"]


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda p: str(p.relative_to(DOCS)))
def test_a_page_can_be_followed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    setting = front_matter(page).get("setting", "empty")
    if setting == "postgres":
        monkeypatch.setenv("DATABASE", write_shop_postgres(request.getfixturevalue("postgres").database()))
    with reading(tmp_path, setting) as reader:
        for block in blocks(page):
            try:
                reader.follow(block)
            except Exception as error:
                raise AssertionError(f"{page.name}, line {block.line} ({block.language}): {error}") from error


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(DOCS)))
def test_a_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in RUN | {"text", "json", "ini", "nginx", "mermaid"}, f"line {block.line}"


def test_the_notebook_runs_in_a_notebook(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(DOCS / "tutorial" / "first-hour.ipynb", as_version=4)
    shown = [len(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    nbclient.NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [len(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"] == shown
    assert all(o.output_type != "stream" or o.name == "stdout" for c in notebook.cells for o in c.get("outputs", ()))


def test_what_is_shown_is_compared_with_what_is_printed() -> None:
    assert agrees("auroc 0.81 of 20 rows, … s", "auroc 0.8123 of 20 rows, 3.5 s")
    assert not agrees("auroc 0.81 of 20 rows", "auroc 0.81 of 21 rows")
    assert not agrees("promoted", "kept")
