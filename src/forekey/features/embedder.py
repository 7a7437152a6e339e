"""What texts mean, as vectors: the mean of their tokens' vectors, from weights that lie inside a package on PyPI.

The vectors are those of WordLlama (Miller 2024): token embeddings of a large language model, trained further so that
the mean of a text's tokens encodes what it is about, its first numbers most (Matryoshka: Kusupati et al. 2022).
Nothing is fetched at run time.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forekey.errors import TaskError

WIDTH = 64
_MOST_TOKENS = 128
_BATCH = 4_096


def embed_texts(values: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return unit vectors ``[n, 64] float32``; zero for a text that is missing or has no word. Equal texts once."""
    column = values.combine_chunks().dictionary_encode()
    distinct, position = column.dictionary, pc.fill_null(column.indices, -1).to_numpy()
    table = np.zeros((len(distinct) + 1, WIDTH), np.float32)
    for first in range(0, len(distinct), _BATCH):
        part = distinct.slice(first, _BATCH).to_pylist()
        table[first : first + len(part)] = _embed(part)
    found: NDArray[np.float32] = table[position]  # -1 is the last row, which is zero
    return found


def _embed(texts: list[str]) -> NDArray[np.float32]:
    tokenizer, vectors = _weights()
    tokens = [np.array(e.ids, np.int64) for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    lengths = np.array([len(t) for t in tokens])
    out, some = np.zeros((len(texts), WIDTH), np.float32), lengths > 0
    if some.any():
        starts = np.concatenate([[0], np.cumsum(lengths[some])[:-1]])
        out[some] = np.add.reduceat(vectors[np.concatenate(tokens)], starts, axis=0) / lengths[some][:, None]
    unit: NDArray[np.float32] = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), np.float32(1e-9))
    return unit


@cache
def _weights() -> tuple[Any, NDArray[np.float32]]:
    """Read tokenizer and vectors from the package's files."""
    package = importlib.util.find_spec("wordllama")
    if package is None or package.origin is None:
        raise TaskError("texts: embedded in forekey.yaml needs an embedder. Run `pip install 'forekey[text]'`.")
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = Path(package.origin).parent
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MOST_TOKENS)
    vectors = load_file(str(folder / "weights" / "l2_supercat_256.safetensors"))["embedding.weight"]
    return tokenizer, vectors[:, :WIDTH].astype(np.float32)
