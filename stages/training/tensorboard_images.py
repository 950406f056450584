"""Pictures for TensorBoard, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from slimline.stages.training.tensorboard import TensorBoard

FONT = Path(__file__).with_name("fonts") / "DejaVuSans.ttf"
"""DejaVu Sans, which this package ships: Pillow's default font has no accented letters and only the Latin alphabet."""

MOST_CLASSES_DRAWN = 60
"""With more classes, a confusion matrix is not readable."""

FONT_PX = 14
MOST_CHARACTERS = 24
MARGIN_PX = 8
TITLE_PX = 24
DARK, GRAY, WHITE = (30, 30, 30), (214, 214, 214), (255, 255, 255)
FULL_BLUE = (8, 48, 107)


def write_augmented(board: TensorBoard, epoch: int, images: NDArray[np.float32]) -> None:
    """Write example images, [count, height, width, 3] in [0, 1], under the tag `augmented`."""
    board.images(epoch, "augmented", np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8))


def write_confusion(
    board: TensorBoard, epoch: int, labels: Sequence[str], targets: NDArray[np.int64], guesses: NDArray[np.int64]
) -> None:
    """Write the confusion matrix of true and predicted class numbers [count]; nothing if there are over 60 classes."""
    classes = len(labels)
    if classes <= MOST_CLASSES_DRAWN:
        matrix = np.bincount(targets * classes + guesses, minlength=classes**2).reshape(classes, classes)
        board.images(epoch, "confusion_matrix", confusion_picture(matrix, labels)[np.newaxis])


def confusion_picture(matrix: NDArray[Any], labels: Sequence[str]) -> NDArray[np.uint8]:
    """Draw a confusion matrix: rows are true classes, columns predicted ones; the shade is the share of the row.

    `matrix` [classes, classes] holds counts; the picture is [height, width, 3]. Zeros are not written, and labels are
    cut to 24 characters.
    """
    cell_px = max(24, min(64, 720 // len(labels)))
    font = _font(FONT_PX)
    names = [name if len(name) <= MOST_CHARACTERS else name[: MOST_CHARACTERS - 1] + "…" for name in labels]
    longest_px = int(max(font.getlength(name) for name in names)) + 1
    upright = longest_px <= cell_px - 4
    left = TITLE_PX + longest_px + 2 * MARGIN_PX
    side = cell_px * len(names)
    below = TITLE_PX + (FONT_PX if upright else longest_px) + 2 * MARGIN_PX
    image = Image.new("RGB", (left + side + MARGIN_PX, MARGIN_PX + side + below), WHITE)
    _draw_cells(image, matrix, (left, MARGIN_PX), cell_px)
    draw = ImageDraw.Draw(image)
    for number, name in enumerate(names):
        middle = number * cell_px + cell_px // 2
        draw.text((left - MARGIN_PX, MARGIN_PX + middle), name, DARK, font, anchor="rm")
        top = MARGIN_PX + side + MARGIN_PX
        if upright:
            draw.text((left + middle, top), name, DARK, font, anchor="mt")
        else:
            _draw_turned(image, name, font, (left + middle, top))
    draw.text((left + side // 2, image.height - MARGIN_PX), "predicted", DARK, font, anchor="ms")
    title_px = int(font.getlength("true"))
    _draw_turned(image, "true", font, (MARGIN_PX + FONT_PX // 2, MARGIN_PX + (side - title_px) // 2))
    return np.asarray(image)


def _font(size_px: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), size_px)


def _draw_cells(image: Image.Image, matrix: NDArray[Any], corner: tuple[int, int], cell_px: int) -> None:
    """Draw the shaded cells, each with its count if it fits."""
    draw, font = ImageDraw.Draw(image), _font(min(FONT_PX, 0.45 * cell_px))
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    for (row, column), count in np.ndenumerate(matrix):
        share = float(shares[row, column])
        left, top = corner[0] + column * cell_px, corner[1] + row * cell_px
        shade = tuple(round(255 + share * (full - 255)) for full in FULL_BLUE)
        draw.rectangle((left, top, left + cell_px, top + cell_px), shade, GRAY)
        text = str(count)
        if count and font.getlength(text) <= cell_px - 3:
            color = WHITE if share > 0.5 else DARK
            draw.text((left + cell_px // 2, top + cell_px // 2), text, color, font, anchor="mm")


def _draw_turned(image: Image.Image, text: str, font: ImageFont.FreeTypeFont, top: tuple[int, int]) -> None:
    """Draw a vertical text that reads upward; `top` is the middle of its upper end."""
    line = Image.new("RGB", (int(font.getlength(text)) + 1, FONT_PX + 6), WHITE)
    ImageDraw.Draw(line).text((0, line.height // 2), text, DARK, font, anchor="lm")
    turned = line.transpose(Image.Transpose.ROTATE_90)
    image.paste(turned, (top[0] - turned.width // 2, top[1]))
