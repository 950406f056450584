"""Cells of tables (CSV, JSON Lines, Parquet): texts, labels, splits, columns to keep."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.split_names import split_named

NO_LABEL = -1
SPLITS_ALLOWED = "train (training), validation (val, valid, dev), test (testing, eval)"


def text_of(value: Any) -> str:
    """Return a cell as text; empty for null and NaN."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "" if value is None or value != value else str(value)


def label_of(value: Any, names: Mapping[Any, str]) -> str:
    """Return the class that a cell states: the name of its number, if there are `names`, else its text.

    Empty for a missing class: a number without a name, or -1, which datasets use for photos without a label.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of integers with missing values is read as floats
    if isinstance(value, int) and (names or value == NO_LABEL):
        return names.get(value, "")
    return re.sub(r"^(-?\d+)\.0$", r"\1", text_of(value).strip())  # as a spreadsheet writes integers


def why_no_label(value: Any, column: str) -> str:
    """Return why a cell that is not empty states no class; an empty text for an empty cell."""
    if value == NO_LABEL:
        return f"its {column} is -1, which the Hugging Face hub writes for 'no label'"
    stated = text_of(value).strip()
    return f"its {column} is {stated}, a number without a name" if stated else ""


def split_of(value: Any, where: str, names: Mapping[Any, str]) -> str:
    """Return the split that a cell states, or an empty string.

    Raises:
        UserError: there is no split of that name.
    """
    stated = label_of(value, names)
    split = split_named(stated)
    if stated and not split:
        raise UserError(
            f"{where}={stated!r} is not a valid split.",
            f"The splits are {SPLITS_ALLOWED}; ingest.split decides for empty cells.",
        )
    return split


def require_single(row: Mapping[Any, Any], columns: tuple[str, ...], where: str) -> None:
    """Refuse lists and objects in columns that hold one value per cell.

    Raises:
        UserError: a cell holds a list or an object.
    """
    for column in columns:
        if isinstance(row.get(column), (list, dict)):
            raise UserError(
                f"{where}: {column}={str(row[column])[:100]} is not a single value.", "Use one text or one number."
            )


def require_kept(name: str, there: Collection[Any], keep: Sequence[str]) -> None:
    """Refuse columns to keep that a table doesn't have.

    Raises:
        UserError: a column is missing.
    """
    missing = [column for column in keep if column not in there]
    if missing:
        raise UserError(
            f"{name} has no column {missing[0]!r}; it has: {', '.join(map(str, there)) or 'none'}.",
            "Name columns of this table: 'ingest.columns.keep=[COLUMN]'",
        )


def details_of(row: Mapping[Any, Any], keep: Sequence[str]) -> str:
    """Return the columns to keep of a row, as JSON: texts by name; empty if there are none."""
    if not keep:
        return ""
    found = {column: text_of(row.get(column)).strip() for column in keep}
    # Bytes that are not UTF-8 can't be stored in the index; they become escapes, as in paths.
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def class_names(schema: Any, column: str) -> dict[Any, str]:
    """Return a column's class names by number, from the Hugging Face schema in the metadata."""
    try:
        stated = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except ValueError:
        return {}
    for key in ("info", "features", column):
        stated = stated.get(key) if isinstance(stated, dict) else None
    names = stated.get("names") if isinstance(stated, dict) else None
    names = list(names.values()) if isinstance(names, dict) else names or []
    return {number: str(name) for number, name in enumerate(names)}
