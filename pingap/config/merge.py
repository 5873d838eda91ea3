"""Merges the tables of several documents, by section and by name.

Values are not examined, except that sections and items must be tables.
"""

from __future__ import annotations

from typing import Any

from pingap.config.model import SECTIONS, BasicConfig
from pingap.config.not_included import not_included
from pingap.config.problem import KeyPath, did_you_mean, quoted, shown
from pingap.config.source import Document, Report

Table = dict[str, Any]

_TOP_LEVEL = ("basic", *SECTIONS)


def merge(report: Report) -> tuple[Table, dict[str, dict[str, Table]]]:
    """Merge the documents of ``report.source``.

    An item, or ``[basic]``, that is in two files is a problem; the first one is used.

    :returns: the table ``basic``, and the tables of each section by item name.
    """
    basic: Table = {}
    sections: dict[str, dict[str, Table]] = {section: {} for section in SECTIONS}
    for document in report.source.documents:
        for section, content in document.data.items():
            path = (section,)
            if section not in _TOP_LEVEL:
                report.problems.append(document.problem(path, _unknown(section, content)))
            elif not isinstance(content, dict):
                _not_a_table(content, path, document, report)
            elif section != "basic":
                _merge_items(section, content, sections[section], document, report)
            elif _is_new(path, document, report):
                basic = content
    return basic, sections


def _unknown(name: str, content: object) -> str:
    if name in BasicConfig.model_fields:
        return f"unknown key; did you mean {quoted('basic.' + name)}?"
    if isinstance(content, dict) or (content and _is_list_of_tables(content)):
        return f"unknown table{not_included(name) or did_you_mean(name, _TOP_LEVEL)}"
    return "unknown key: it precedes the first table, so it belongs to none"


def _is_list_of_tables(content: object) -> bool:
    return isinstance(content, list) and all(isinstance(one, dict) for one in content)


def _merge_items(
    section: str, items: Table, merged: dict[str, Table], document: Document, report: Report
) -> None:
    for name, table in items.items():
        path = (section, name)
        if not _is_new(path, document, report):
            continue
        if isinstance(table, dict):
            merged[name] = table
        else:
            _not_a_table(table, path, document, report)


def _is_new(path: KeyPath, document: Document, report: Report) -> bool:
    other = report.source.first_owner(path)
    if other is None:
        report.source.own(path, document)
        return True
    first = other.problem(path, "")
    message = f"is defined here and in {first.file}:{first.line}"
    report.problems.append(document.problem(path, message))
    return False


def _not_a_table(value: object, path: KeyPath, document: Document, report: Report) -> None:
    report.problems.append(document.problem(path, f"found {shown(value)}, expected a table"))
