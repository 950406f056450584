"""Frozen GraphDefs as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf

SAVED_MODEL = "saved_model.pb"
VARIABLES = frozenset({"Variable", "VariableV2", "AutoReloadVariable", "VarHandleOp", "TemporaryVariable"})

SAVED_MODEL_ADVICE = (
    "A SavedModel keeps its variables apart: freeze it first, for example with "
    "tensorflow.python.framework.convert_to_constants.convert_variables_to_constants_v2 on its signature.",
)
PAGE_ADVICE = "The download got a web page in the file's place: fetch the file itself."
ARCHIVE_ADVICE = "Unpack it, and give the .pb file inside."
# How files begin that people take for a frozen graph.
BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "Fetch the file with `git lfs pull`."),
    (b"<!doctype", "an HTML page", PAGE_ADVICE),
    (b"<html", "an HTML page", PAGE_ADVICE),
    (b"<?xml", "an XML page", PAGE_ADVICE),
    (b"\x1f\x8b", "a gzip archive", ARCHIVE_ADVICE),
    (b"pk\x03\x04", "a zip archive", ARCHIVE_ADVICE),
    (b"\x89hdf", "an HDF5 file", "Keras writes these; give a frozen GraphDef (.pb)."),
    (b"\x08\x01\x12", "a SavedModel, not a frozen graph", *SAVED_MODEL_ADVICE),
)


def read_graph(path: Path) -> Any:
    """Read a frozen GraphDef, binary (.pb) or text (.pbtxt).

    Raises:
        UserError: the file isn't there, is something else, isn't frozen, or has operations unknown to TensorFlow.
    """
    _require_file(path)
    content = path.read_bytes()
    start = content[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise UserError(f"The graph {path} is empty.", "Copy or download it again.")
    for beginning, name, advice in BEGINNINGS:
        if start.startswith(beginning):
            raise UserError(f"The graph {path} is {name}.", advice)
    graph_def = _parse(content)
    _require_operations(path, graph_def)
    _require_frozen(path, graph_def)
    return graph_def


def _require_file(path: Path) -> None:
    if (path / SAVED_MODEL).is_file():
        raise UserError(f"The graph {path} is a SavedModel, not a frozen graph.", *SAVED_MODEL_ADVICE)
    if path.is_dir():
        inside = ", ".join(sorted(file.name for file in path.glob("*.pb*"))) or "no .pb file"
        raise UserError(f"The graph {path} is a folder.", f"Give the frozen GraphDef's file; in it is {inside}.")
    if not path.is_file():
        raise UserError(f"The graph {path.absolute()} isn't there.", "Give the path of a frozen GraphDef (.pb).")


def _parse(content: bytes) -> Any:
    """Parse a GraphDef; one without nodes stands for what can't be parsed."""
    try:
        return tf.compat.v1.GraphDef.FromString(content)
    except DecodeError:
        pass
    try:
        return text_format.Parse(content.decode("utf-8"), tf.compat.v1.GraphDef())
    except (text_format.ParseError, UnicodeDecodeError):
        return tf.compat.v1.GraphDef()


def _require_operations(path: Path, graph_def: Any) -> None:
    """Random bytes parse surprisingly often: see whether there are operations, and ones that TensorFlow has."""
    functions = {function.signature.name for function in graph_def.library.function}
    used = {node.op for node in nodes_of(graph_def)}
    unknown = sorted(op for op in used - functions if not hasattr(tf.raw_ops, op))
    if not graph_def.node or len(unknown) == len(used):
        raise UserError(f"The graph {path} isn't a GraphDef.", "Give a frozen graph, as freeze_graph writes it.")
    if unknown:
        raise UserError(
            f"The graph {path} uses operations that TensorFlow {tf.__version__} doesn't have: {', '.join(unknown)}.",
            "Choose a graph of TensorFlow's own operations.",
        )


def _require_frozen(path: Path, graph_def: Any) -> None:
    variables = [node.name for node in nodes_of(graph_def) if node.op in VARIABLES]
    if variables:
        raise UserError(
            f"The graph {path} isn't frozen: it has {len(variables)} variables, for example {variables[0]}.",
            "Freeze it with its checkpoint: python -m tensorflow.python.tools.freeze_graph --input_graph=... "
            "--input_checkpoint=... --output_node_names=... --output_graph=... (--input_binary=true for a binary one).",
        )


def nodes_of(graph_def: Any) -> list[Any]:
    """Return a GraphDef's nodes, and those of its functions."""
    return [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]
