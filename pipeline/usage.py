"""What `--help` prints: the commands that people use, and every choice that the config has."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

from slimline.pipeline.text_table import text_table

WIDTH = 110
INDENT = "  "
USAGE = """\
Slimline: photos in, a trained, measured and exported image classifier out.

  python -m pipeline +experiment=flowers                           the whole job
  python -m pipeline +experiment=flowers ingest.images=~/photos    yours: a folder for each class
  python -m pipeline +experiment=flowers ingest.images=leaves.csv  or an archive, Parquet, TFRecords
  python -m pipeline +experiment=flowers head=mlp train.epochs=20  other choices and settings
  python -m pipeline -m +experiment=flowers head=linear,mlp        a sweep; its best point goes on
  python -m pipeline -m +experiment=bases                          every base that can be had, compared
  python -m pipeline +experiment=classify classify.images=[a.jpg]  what does a photo show?
  python -m pipeline +experiment=serve                             a page to drop photos on
  python -m pipeline +experiment=flowers run.plan=true             what would run, and why

Choices (group=option):
{choices}

Settings, as they would be: python -m pipeline +experiment=flowers --cfg job
"""


def usage(conf: Path) -> str:
    """Return the help text, its choices read from the folder of configs."""
    options: dict[str, list[str]] = {}
    for path in sorted(conf.glob("*/**/*.yaml")):
        options.setdefault(path.parent.relative_to(conf).as_posix(), []).append(path.stem)
    rows = [(group, ", ".join(names)) for group, names in sorted(options.items()) if group != "run"]
    choices = text_table((), rows, texts=(0, 1), width=WIDTH - len(INDENT))
    return USAGE.format(choices=indent(choices, INDENT))
