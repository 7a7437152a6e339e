"""Tensors in files that hold nothing but data: safetensors, with the structure around them as JSON in its header.

Unlike a pickle, such a file cannot run code when it is read (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

_TENSOR, _PAIRS, _TUPLE = "$tensor", "$pairs", "$tuple"


class NotReadable(Exception):
    """A file does not hold what :func:`save_tensors` or :func:`save_state` writes."""


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write named tensors."""
    from safetensors.torch import save_file

    save_file({name: t.detach().contiguous().clone() for name, t in tensors.items()}, path, metadata)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read what :func:`save_tensors` wrote; :class:`NotReadable` if that is not what the file holds."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise NotReadable(str(path)) from error


def save_state(path: Path, state: Any) -> None:
    """Write nested dictionaries, lists and tuples of tensors and JSON values."""
    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_packed(state, tensors))
    save_tensors(path, tensors, {"state": structure})


def load_state(path: Path) -> Any:
    """Read what :func:`save_state` wrote; :class:`NotReadable` if that is not what the file holds."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            structure = json.loads((file.metadata() or {})["state"])
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise NotReadable(str(path)) from error
    return _unpacked(structure, tensors)


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON has it, its tensors put aside under the names that stand for them."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value
        return {_TENSOR: name}
    if isinstance(value, dict):
        return {_PAIRS: [[key, _packed(one, tensors)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [_packed(one, tensors) for one in value]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    return value


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _TUPLE in value:
        return tuple(_unpacked(one, tensors) for one in value[_TUPLE])
    return {key: _unpacked(one, tensors) for key, one in value[_PAIRS]}
