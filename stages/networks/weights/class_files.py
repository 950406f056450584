"""Read the class name files of frozen graphs."""

from __future__ import annotations

import re
from pathlib import Path

from slimline.pipeline.errors import UserError

INCEPTION_2015_CLASSES = 1008
INCEPTION_2015_SYNSETS = "imagenet_2012_challenge_label_map_proto.pbtxt"
INCEPTION_2015_WORDS = "imagenet_synset_to_human_label_map.txt"


def read_label_lines(path: Path) -> list[str]:
    """Read class names, one per line, as in retrain.py's output_labels.txt and in ImageNetLabels.txt.

    Raises:
        UserError: the file doesn't exist, isn't text, is empty, or has an empty line between others.
    """
    names = [line.strip() for line in _read_text(path).rstrip().split("\n")]
    if names == [""]:
        raise UserError(f"The class names {path} are empty.", "Write one name per line, in the order of the outputs.")
    if "" in names:
        raise UserError(f"Line {names.index('') + 1} of the class names {path} is empty.", "Write one name per line.")
    return names


def read_inception_2015_labels(folder: Path) -> list[str]:
    """Read the 1008 names of the 2015 Inception graph's outputs from the two files of its download.

    They are WordNet's words, such as "tench, Tinca tinca"; the eight outputs without a class are "unused 0" and so on.

    Raises:
        UserError: a file doesn't exist, or isn't the download's file.

    Source: http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz
    """
    synsets, words = folder / INCEPTION_2015_SYNSETS, folder / INCEPTION_2015_WORDS
    entries = re.findall(r'target_class:\s*(\d+)\s+target_class_string:\s*"([^"]*)"', _read_text(synsets))
    if not entries:
        raise UserError(
            f"The class names {synsets} have no entry.",
            'Download the file again; its entries are: entry { target_class: 449 ... "n01440764" }.',
        )
    lines = [line.partition("\t") for line in _read_text(words).splitlines()]
    human = {synset.strip(): name.strip() for synset, _, name in lines}
    names = [f"unused {index}" for index in range(INCEPTION_2015_CLASSES)]
    for number, synset in entries:
        if int(number) >= INCEPTION_2015_CLASSES:
            raise UserError(f"The class names {synsets} have a class {number}.", "The classes are 0 to 1007.")
        if not human.get(synset):
            problem = f"The class names {words} lack {synset}, which is in {synsets.name}."
            raise UserError(problem, "Download both files again.")
        names[int(number)] = human[synset]
    return names


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"The class names {path} aren't UTF-8 text.", "Save them as UTF-8.") from error
    except OSError as error:
        raise UserError(
            f"The class names {path.absolute()} can't be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
