"""Writes tables of the configuration as KDL 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ckdl  # type: ignore[import-untyped]

from pingap_formats.block import SECTIONS, section_of
from pingap_formats.kdl_reader import ALWAYS_LISTS, ARRAY, ELEMENT, TABLE, VALUE


def write_kdl(tables: Mapping[str, Any]) -> str:
    """Return tables as KDL, one node for each.

    :raises ValueError: KDL has no form for a value; the message has its path.
    """
    nodes = []
    if "basic" in tables:
        nodes.append(ckdl.Node("basic", children=_children(tables["basic"], "basic")))
    for kind, section in SECTIONS.items():
        for name, table in tables.get(section, {}).items():
            children = _children(table, f"{section}.{name}")
            nodes.append(ckdl.Node(kind, args=[name], children=children))
    return "\n".join(str(ckdl.Document([node])) for node in nodes)


def _children(table: Mapping[str, Any], path: str) -> list[ckdl.Node]:
    return [_node(key, value, f"{path}.{key}") for key, value in table.items()]


def _node(name: str, value: Any, path: str) -> ckdl.Node:
    if isinstance(value, list):
        return _array(name, value, path)
    if isinstance(value, Mapping):
        node = ckdl.Node(name, children=_children(value, path))
        if not value or section_of(name) or name in ALWAYS_LISTS:
            node.type_annotation = TABLE
        return node
    _check(value, path)
    node = ckdl.Node(name, args=[value])
    if name in ALWAYS_LISTS:
        node.type_annotation = VALUE
    return node


def _array(name: str, values: list[Any], path: str) -> ckdl.Node:
    if any(isinstance(one, list | Mapping) for one in values):
        children = [_node(ELEMENT, one, path) for one in values]
        node = ckdl.Node(name, children=children)
    else:
        for one in values:
            _check(one, path)
        node = ckdl.Node(name, args=list(values))
    if node.children or (len(values) < 2 and name not in ALWAYS_LISTS):
        node.type_annotation = ARRAY
    return node


def _check(value: Any, path: str) -> None:
    if not isinstance(value, str | int | float):
        raise ValueError(  # noqa: TRY004 - the message is for operators
            f"{path}: KDL has no form for {value} ({type(value).__name__})"
        )
