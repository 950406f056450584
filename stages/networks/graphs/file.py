"""Read and check frozen GraphDef files."""

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
    "Freeze it first, because a SavedModel stores its variables separately; for example, apply "
    "tensorflow.python.framework.convert_to_constants.convert_variables_to_constants_v2 to its signature.",
)
PAGE_ADVICE = "Download the file itself: a web page was saved in its place."
ARCHIVE_ADVICE = "Unpack it, and use the .pb file inside."
# The first bytes of files that are often mistaken for a frozen graph.
BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "Fetch the file with `git lfs pull`."),
    (b"<!doctype", "an HTML page", PAGE_ADVICE),
    (b"<html", "an HTML page", PAGE_ADVICE),
    (b"<?xml", "an XML page", PAGE_ADVICE),
    (b"\x1f\x8b", "a gzip archive", ARCHIVE_ADVICE),
    (b"pk\x03\x04", "a zip archive", ARCHIVE_ADVICE),
    (b"\x89hdf", "an HDF5 file", "Use a frozen GraphDef (.pb); HDF5 files are usually from Keras."),
    (b"\x08\x01\x12", "a SavedModel, not a frozen graph", *SAVED_MODEL_ADVICE),
)


def read_graph(path: Path) -> Any:
    """Read a frozen GraphDef, binary (.pb) or text (.pbtxt).

    Raises:
        UserError: the file doesn't exist, isn't a graph, isn't frozen, or has operations unknown to TensorFlow.
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
        advice = f"Choose the frozen GraphDef's file; the folder contains {inside}."
        raise UserError(f"The graph {path} is a folder.", advice)
    if not path.is_file():
        raise UserError(f"The graph {path.absolute()} doesn't exist.", "Choose a frozen GraphDef (.pb).")


def _parse(content: bytes) -> Any:
    """Parse a GraphDef; return one without nodes if the content can't be parsed."""
    try:
        return tf.compat.v1.GraphDef.FromString(content)
    except DecodeError:
        pass
    try:
        return text_format.Parse(content.decode("utf-8"), tf.compat.v1.GraphDef())
    except (text_format.ParseError, UnicodeDecodeError):
        return tf.compat.v1.GraphDef()


def _require_operations(path: Path, graph_def: Any) -> None:
    """Check that there are operations, and that TensorFlow has them: random bytes parse surprisingly often."""
    functions = {function.signature.name for function in graph_def.library.function}
    used = {node.op for node in nodes_of(graph_def)}
    unknown = sorted(op for op in used - functions if not hasattr(tf.raw_ops, op))
    if not graph_def.node or len(unknown) == len(used):
        raise UserError(f"The graph {path} isn't a GraphDef.", "Choose a frozen graph, as written by freeze_graph.")
    if unknown:
        raise UserError(
            f"The graph {path} uses operations that TensorFlow {tf.__version__} doesn't have: {', '.join(unknown)}.",
            "Choose a graph that has only TensorFlow's own operations.",
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
    """Return the nodes of a GraphDef and of its functions."""
    return [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]
