"""The data set's page: what there is, how it is split, what was left out and why, what is there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from slimline.pipeline.artifact import Facts, write_text
from slimline.stages.data.checking.survey import Survey
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.splitting.selection import Outcome, Selection
from slimline.stages.data.storing.index import reason
from slimline.stages.images.files import read_header
from slimline.stages.pages.elements import document, numbers, pictures, rows, table
from slimline.stages.pages.thumbnails import thumbnail

LABEL_ERRORS = "<!-- likely label errors -->"
"""Where a later stage puts what the features say of the labels."""

PAGE = "dataset.html"
SIDE_PX = 112
PER_CLASS, MOST_PICTURES, MOST_ROWS, MOST_PAIRS = 8, 160, 200, 24
MOST_PIXELS = 50_000_000
IMBALANCE = 10
EDGES_PX = (64, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)
DRAWN = '<p class="drawn">The flowers are drawn by the program, not photos.</p>'


def write_page(out: Path, survey: Survey, selection: Selection, facts: Facts) -> None:
    """Write `dataset.html`; the survey's photos can still be read."""
    classes = selection.classes
    drawn = facts["origin"] != "photos"
    title = f"{facts['photos']:,} {'drawn flowers' if drawn else 'photos'} of {len(classes):,} classes"
    parts = [
        f"<h1>{escape(title)}</h1>",
        DRAWN if drawn else "",
        _numbers(facts),
        "<h2>Classes</h2>",
        _classes(selection),
        "<h2>Sizes</h2>",
        _sizes(survey, selection),
        LABEL_ERRORS,
        "<h2>Some of each class</h2>",
        _contact_sheet(survey, selection),
        "<h2>Quarantined</h2>",
        _left_out(survey, selection, Outcome.quarantined),
        "<h2>Photos that look the same</h2>",
        _twins(survey, selection),
        "<h2>There twice</h2>",
        _left_out(survey, selection, Outcome.duplicate),
        "<h2>Not meant as photos</h2>",
        _passed_over(facts),
        _left_out(survey, selection, Outcome.skipped),
        "<h2>Made anew</h2>",
        _notes(survey),
    ]
    write_text(out / PAGE, document(title, parts))


def _numbers(facts: Facts) -> str:
    names = ("photos", *SPLITS, "quarantined", "duplicates", "near_twins", "skipped")
    return numbers({name.replace("_", "-"): f"{facts[name]:,}" for name in names}) + (
        f"<p>Split by: {escape(str(facts['split_by']))}.</p>"
    )


def _classes(selection: Selection) -> str:
    counts = np.zeros((len(selection.classes), len(SPLITS)), np.int64)
    used = selection.outcomes == Outcome.used
    np.add.at(counts, (selection.labels[used], selection.splits[used]), 1)
    totals = counts.sum(axis=1)
    warning = ""
    if (ratio := totals.max() / max(1, totals.min())) >= IMBALANCE:
        largest, smallest = (selection.classes[int(find(totals))] for find in (np.argmax, np.argmin))
        warning = (
            f'<p class="drawn">{escape(largest)} has {ratio:,.0f} times as many photos as {escape(smallest)}:'
            " read the balanced accuracy, not the accuracy alone.</p>"
        )
    lines = [
        [name, f"{total:,}", *(f"{count:,}" for count in row), _bar(total / max(1, totals.max()))]
        for name, total, row in zip(selection.classes, totals, counts, strict=True)
    ]
    return warning + table(["class", "photos", *SPLITS, ""], lines, texts=(0, 2 + len(SPLITS)))


def _bar(share: float) -> str:
    return "█" * round(24 * share) or "▏"


def _sizes(survey: Survey, selection: Selection) -> str:
    used = selection.outcomes == Outcome.used
    shorter = np.minimum(survey.column("width"), survey.column("height"))[used]
    size_bytes = survey.column("size_bytes")[used]
    counts = np.histogram(shorter, (0, *EDGES_PX, 1 << 31))[0]
    names = [
        f"under {EDGES_PX[0]} px",
        *(f"{low:,} to {high - 1:,} px" for low, high in pairwise(EDGES_PX)),
        f"{EDGES_PX[-1]:,} px and more",
    ]
    lines = [
        [name, f"{count:,}", _bar(count / max(1, counts.max()))]
        for name, count in zip(names, counts, strict=True)
        if count
    ]
    about = {
        "all": f"{size_bytes.sum() / 1e6:,.1f} MB",
        "a photo, median": f"{np.median(size_bytes) / 1e3:,.0f} KB",
        "shorter side, median": f"{np.median(shorter):,.0f} px",
        **{f"as {name}": count for name, count in _formats(survey, used).items()},
    }
    return rows(about) + table(["shorter side", "photos", ""], lines, texts=(0, 2))


def _formats(survey: Survey, used: Any) -> dict[str, int]:
    codes, names = survey.codes("format")
    counts = Counter(codes[used & (codes >= 0)].tolist())
    return {names[code]: count for code, count in counts.most_common()}


def _contact_sheet(survey: Survey, selection: Selection) -> str:
    used = np.flatnonzero(selection.outcomes == Outcome.used)
    parts = []
    each = max(1, min(PER_CLASS, MOST_PICTURES // len(selection.classes)))
    for label, name in enumerate(selection.classes[:MOST_PICTURES]):
        own = used[selection.labels[used] == label]
        chosen = own[np.linspace(0, len(own) - 1, min(each, len(own))).astype(int)]
        parts.append(f"<h3>{escape(name)}</h3>" + pictures(_captioned(survey, chosen)))
    rest = len(selection.classes) - MOST_PICTURES
    return "".join(parts) + (f"<p>And {rest:,} classes more.</p>" if rest > 0 else "")


def _captioned(survey: Survey, chosen: Iterable[int]) -> Iterator[tuple[str, str, str]]:
    for row in chosen:
        if address := _picture(survey, int(row)):
            path = survey.path(int(row))
            yield address, path, f"<small>{escape(path)}</small>"


def _left_out(survey: Survey, selection: Selection, outcome: Outcome) -> str:
    found = np.flatnonzero(selection.outcomes == outcome)
    if not len(found):
        return "<p>None.</p>"
    shown = [int(row) for row in found[:MOST_ROWS]]
    lines = [
        [survey.path(row), survey.value(row, "label") or "", reason(survey, selection, row) or ""] for row in shown
    ]
    sheet = ""
    if outcome is Outcome.quarantined:
        with _forgiving():
            some = list(_captioned(survey, shown[:MOST_PAIRS]))
        sheet = pictures(some) if some else ""
    more = f"<p>And {len(found) - len(shown):,} more, in index.parquet.</p>" if len(found) > len(shown) else ""
    return table(["path", "class", "why"], lines, texts=(0, 1, 2)) + more + sheet


def _twins(survey: Survey, selection: Selection) -> str:
    first, second, bits = selection.pairs
    if not len(bits):
        return "<p>None.</p>"
    torn = selection.labels[first] != selection.labels[second]
    order = np.lexsort((second, first, bits, ~torn))
    said = (
        f"<p>{len(bits):,} pairs, {int(torn.sum()):,} of them with two labels (shown first). A training or validation"
        " photo that looks like a test photo is left out; the others stay. All are in twins.parquet.</p>"
    )
    items = []
    for index in order[:MOST_PAIRS]:
        for row, other in ((int(first[index]), int(second[index])), (int(second[index]), int(first[index]))):
            address = _picture(survey, row)
            if address:
                label = selection.classes[selection.labels[row]]
                what = Outcome(selection.outcomes[row]).name.replace("_", " ")
                split = SPLITS[selection.splits[row]] if what == "used" else what
                below = f"<b>{escape(label)}</b>, {split}<br><small>{escape(survey.path(row))}</small>"
                items.append((address, f"{survey.path(row)}, which looks like {survey.path(other)}", below))
    return said + pictures(items)


def _passed_over(facts: Facts) -> str:
    return rows({f"{name} files, without a row": count for name, count in facts["passed_over"].items()})


def _notes(survey: Survey) -> str:
    codes, notes = survey.codes("note")
    counts = Counter(codes[codes >= 0].tolist())
    if not counts:
        return "<p>None: every photo is stored as it was.</p>"
    return table(["note", "photos"], [[notes[code], f"{count:,}"] for code, count in counts.most_common(MOST_ROWS)])


def _picture(survey: Survey, row: int) -> str:
    """Return a photo's small picture, or an empty text where it can't be shown."""
    try:
        encoded = survey.read(row)
        read_header(encoded, MOST_PIXELS, 1 << 30)
        return thumbnail(encoded, SIDE_PX)
    except Exception:  # Pillow raises a dozen kinds of errors on damaged photos, and the page can do without
        return ""


@contextmanager
def _forgiving() -> Iterator[None]:
    """Have Pillow show what there is of truncated files."""
    from PIL import ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
