"""The text of `--help`: common commands, and every choice of the config."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent

from slimline.pipeline.config_files import shown
from slimline.pipeline.config_folders import ConfigFolders
from slimline.pipeline.text_table import text_table

WIDTH = 110
INDENT = "  "
EXAMPLES = (
    ("+experiment=flowers", "train, evaluate and export"),
    ("+experiment=flowers ingest.images=~/photos", "your photos: one folder for each class"),
    ("+experiment=flowers ingest.images=leaves.csv", "or an archive, Parquet, TFRecords"),
    ("+experiment=flowers head=mlp train.epochs=20", "other choices and settings"),
    ("-m +experiment=flowers head=linear,mlp", "a sweep; its best point is completed"),
    ("-m +experiment=bases", "compare all available bases"),
    ("+experiment=classify 'classify.images=[a.jpg]'", "classify photos"),
    ("+experiment=serve", "a web page that classifies photos"),
    ("+experiment=flowers run.plan=true", "what would run, and why"),
)
USAGE = """\
Slimline: photos in, a trained, measured and exported image classifier out.

{examples}

Commands:
{commands}

Choices (group=option){marks}:
{choices}

To show the settings of a command, add --cfg job: {program} +experiment=flowers --cfg job
Your own options are YAML files in ./conf or in the folder of --config-dir DIR, which is searched first.
"""
YOURS, PLUG_IN = " (yours)", " (plug-in)"


def usage(folders: ConfigFolders, commands: Mapping[str, tuple[str, str]], program: str) -> str:
    """Return the help text: examples, each command with its purpose, and the choices in the config folders."""
    options: dict[str, list[str]] = {}
    for group, name, folder in folders.options():
        mark = YOURS if folder == folders.own else PLUG_IN if folder in folders.plugins else ""
        options.setdefault(group, []).append(f"{name}{mark}")
    rows = [(group, ", ".join(sorted(names))) for group, names in sorted(options.items()) if group != "run"]
    return USAGE.format(
        examples=_table([(f"{program} {arguments}", meaning) for arguments, meaning in EXAMPLES]),
        commands=_table([(f"{program} {written}", purpose) for written, purpose in commands.values()]),
        choices=_table(rows),
        marks=_meaning([mark for mark in (YOURS, PLUG_IN) if any(mark in names for _, names in rows)], folders),
        program=program,
    )


def _table(rows: list[tuple[str, str]]) -> str:
    return indent(text_table((), rows, texts=(0, 1), width=WIDTH - len(INDENT)), INDENT)


def _meaning(marks: list[str], folders: ConfigFolders) -> str:
    told = {
        YOURS: f"(yours) are in {shown(folders.own)}" if folders.own else "",
        PLUG_IN: "(plug-in) are from an installed plug-in",
    }
    return "".join(f"; {told[mark]}" for mark in marks)
