"""The code is written in the field's words: no private vocabulary in docstrings, and module names that say their content."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import forekey

SOURCE = Path(forekey.__file__).parent
PRIVATE = re.compile(
    r"\b(hears?|heard|hearing|tells?|told|speaks?|spoke|spoken|pasts? in numbers|numbers? of (a|the) past|how-manieth|says? to|taken apart)\b"
)
"""Modules do not hear, tell or speak: they read, return, contain or show."""
VAGUE = {"bugs", "final", "page", "batch", "keys", "kernels", "utils", "common", "helpers", "manager", "base"}


def docstrings() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield str(path.relative_to(SOURCE)), ast.get_docstring(node) or ""


def test_docstrings_use_the_words_of_the_field() -> None:
    found = [
        f"{where}: {line.strip()}" for where, text in docstrings() for line in text.splitlines() if PRIVATE.search(line)
    ]
    assert found == []


def test_a_module_name_says_what_is_in_it() -> None:
    assert not VAGUE & {path.stem for path in SOURCE.rglob("*.py")}


def test_test_files_are_named_after_behaviour() -> None:
    names = {path.stem for path in Path(__file__).resolve().parents[1].rglob("test_*.py")}
    assert not names & {"test_bugs", "test_misc", "test_regressions", "test_issues"}


def test_the_glossary_is_in_the_order_of_the_alphabet_and_says_each_word_once() -> None:
    glossary = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "glossary.md"
    rows = [
        line.split("|")[1].strip()
        for line in glossary.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    words = [row.lower() for row in rows[1:]]
    assert words == sorted(set(words))
    for word in (
        "blend",
        "lagged label",
        "scorecard",
        "time encoding",
        "two-tower",
        "target leakage",
        "bootstrap",
        "refit",
    ):
        assert any(row.startswith(word) for row in words), word
