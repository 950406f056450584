"""What the cells of a table say, whichever file the table lies in."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.layout import split_named

SPLITS_ALLOWED = "train (training), validation (val, valid, dev), test (testing, eval)"


def text_of(value: Any) -> str:
    """Return a cell as text; empty where there is nothing: null, or what stands for it among fractions."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "" if value is None or value != value else str(value)


def label_of(value: Any, names: Mapping[Any, str]) -> str:
    """Return the class that a cell names: by its number among `names`, if there are any, else as it is.

    Empty where there is none: a number without a name, or -1, as data sets without labels have it.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers, of which one is missing, holds fractions
    if isinstance(value, int) and (names or value == -1):
        return names.get(value, "")
    return text_of(value).strip()


def split_of(value: Any, where: str, names: Mapping[Any, str]) -> str:
    """Return the split that a cell states.

    Raises:
        UserError: there is none of that name.
    """
    stated = label_of(value, names)
    split = split_named(stated)
    if stated and not split:
        raise UserError(
            f"{where}={stated!r} is no split.",
            f"The splits are {SPLITS_ALLOWED}; an empty one is left to ingest.split.",
        )
    return split


def require_single(row: Mapping[Any, Any], columns: tuple[str, ...], where: str) -> None:
    """Refuse a list or an object where one value belongs.

    Raises:
        UserError: there is one.
    """
    for column in columns:
        if isinstance(row.get(column), (list, dict)):
            raise UserError(
                f"{where}: {column}={str(row[column])[:100]} is no single value.", "Give one text or one number."
            )


def require_kept(name: str, there: Collection[Any], keep: Sequence[str]) -> None:
    """Refuse columns to keep that a table doesn't have.

    Raises:
        UserError: it lacks one.
    """
    missing = [column for column in keep if column not in there]
    if missing:
        raise UserError(
            f"{name} has no column {missing[0]!r}; it has: {', '.join(map(str, there)) or 'none'}.",
            "Name columns that are there: ingest.columns.keep=[...]",
        )


def details_of(row: Mapping[Any, Any], keep: Sequence[str]) -> str:
    """Return the columns of a row that are kept, as JSON: texts by name; empty where none is."""
    if not keep:
        return ""
    found = {column: text_of(row.get(column)).strip() for column in keep}
    # What is no UTF-8 in a file has no place in an index; it is written as escapes, as paths are.
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def class_names(schema: Any, column: str) -> dict[Any, str]:
    """Return the names of a column's classes by number, as the Hugging Face schema in the metadata states them."""
    try:
        stated = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except ValueError:
        return {}
    for key in ("info", "features", column):
        stated = stated.get(key) if isinstance(stated, dict) else None
    names = stated.get("names") if isinstance(stated, dict) else None
    names = list(names.values()) if isinstance(names, dict) else names or []
    return {number: str(name) for number, name in enumerate(names)}
