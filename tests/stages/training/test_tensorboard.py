"""TensorBoard logs, as TensorBoard reads them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.pr_curve import metadata as curves

from slimline.stages.backend.tensorflow import tf
from slimline.stages.training.tensorboard import TensorBoard
from slimline.stages.training.tensorboard_images import confusion_picture, write_augmented, write_confusion

LABELS = ["daisy", "rose", "tulip"]


@pytest.fixture
def board(tmp_path):
    return TensorBoard(tmp_path / "logs")


@pytest.fixture
def read(board, tmp_path):
    """Return a function that closes the files and reads the logs."""

    def reader(inside="."):
        board.close()
        events = EventAccumulator(str(tmp_path / "logs" / inside), size_guidance={"tensors": 0})
        return events.Reload()

    return reader


def values(events, tag):
    return [(event.step, tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]


def plugin(events, tag):
    return events.SummaryMetadata(tag).plugin_data.plugin_name


def test_flushed_values_are_visible_before_training_ends(board, tmp_path):
    board.scalars(1, {"loss": 0.5})
    board.flush()
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert values(events, "loss") == [(1, 0.5)]


def test_numbers_are_written_as_scalars(board, read):
    for epoch in (1, 2):
        board.scalars(epoch, {"loss": 1 / epoch})
    board.scalars(7, {"step/loss": 0.5, "step/learning_rate": 0.125})
    events = read()
    assert values(events, "loss") == [(1, 1.0), (2, 0.5)]
    assert values(events, "step/loss") == [(7, 0.5)]
    assert values(events, "step/learning_rate") == [(7, 0.125)]
    assert plugin(events, "loss") == plugin(events, "step/loss") == "scalars"


def test_histograms_and_sparsity(board, read):
    numbers = np.concatenate([np.zeros(25), np.linspace(-1, 2, 75)]).astype(np.float32)
    board.histograms(3, "weights", {"head/weights": tf.Variable(numbers.reshape(20, 5))})
    events = read()
    [(step, rows)] = values(events, "weights/head/weights")
    assert step == 3
    assert rows.shape == (30, 3)
    assert rows[0, 0] == pytest.approx(-1)
    assert rows[-1, 1] == pytest.approx(2)
    for left, right, count in rows[:-1]:
        assert count == np.sum((numbers >= left) & (numbers < right))
    assert rows[:, 2].sum() == 100
    assert values(events, "sparsity/weights/head/weights") == [(3, 0.25)]
    assert plugin(events, "weights/head/weights") == "histograms"
    assert plugin(events, "sparsity/weights/head/weights") == "scalars"


def test_histograms_of_nearly_equal_and_of_infinite_numbers(board, read):
    one = np.float32(1)
    board.histograms(1, "weights", {"gamma": np.array([one, np.nextafter(one, np.float32(2))])})
    board.histograms(1, "activations", {"relu": np.array([np.inf, np.nan, 1.0, 0.0], np.float16)})
    events = read()
    assert values(events, "weights/gamma")[0][1][:, 2].tolist() == [1] + [0] * 28 + [1]
    assert values(events, "activations/relu")[0][1][:, 2].sum() == 2
    assert values(events, "not_finite/activations/relu") == [(1, 0.5)]
    assert values(events, "sparsity/activations/relu") == [(1, 0.25)]
    assert "not_finite/weights/gamma" not in events.Tags()["tensors"]


def test_augmented_images_decode_to_the_given_pixels(board, read):
    images = np.random.default_rng(0).integers(0, 256, [5, 8, 6, 3]) / np.float32(255)
    write_augmented(board, 2, images)
    events = read()
    [(step, [width, height, *encoded])] = values(events, "augmented")
    assert (step, width, height) == (2, b"6", b"8")
    decoded = np.stack([tf.io.decode_png(one).numpy() for one in encoded])
    assert decoded.shape == images.shape
    assert np.array_equal(decoded, np.rint(images * 255))
    assert plugin(events, "augmented") == "images"


def draw_scores(count, classes, seed=0):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, count)
    logits = generator.normal(size=(count, classes)) + 1.5 * np.eye(classes)[targets]
    return targets, (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)


def test_precision_recall_curves_equal_scikit_learns(board, read):
    targets, probabilities = draw_scores(200, 3)
    board.curves(4, LABELS, targets, probabilities)
    events = read()
    for number, label in enumerate(LABELS):
        tag = f"precision_recall/{label}/pr_curves"
        [(step, rows)] = values(events, tag)
        assert (step, rows.shape, plugin(events, tag)) == (4, (6, 201), "pr_curves")
        content = curves.parse_plugin_metadata(events.SummaryMetadata(tag).plugin_data.content)
        assert content.num_thresholds == 201
        assert events.SummaryMetadata(tag).display_name == label
        for threshold in range(0, 201, 8):
            chosen = np.floor(probabilities[:, number] * 200) >= threshold
            wanted = targets == number
            assert rows[curves.TRUE_POSITIVES_INDEX, threshold] == np.sum(chosen & wanted)
            assert rows[curves.FALSE_NEGATIVES_INDEX, threshold] == np.sum(~chosen & wanted)
            assert rows[curves.PRECISION_INDEX, threshold] == pytest.approx(
                precision_score(wanted, chosen, zero_division=0)
            )
            assert rows[curves.RECALL_INDEX, threshold] == pytest.approx(recall_score(wanted, chosen))


def test_the_confusion_matrix_has_true_rows_and_predicted_columns(board, read):
    targets = np.array([0, 0, 1, 1, 1, 2])
    guesses = np.array([0, 1, 1, 1, 1, 1])
    write_confusion(board, 1, LABELS, targets, guesses)
    events = read()
    [(_, [width, height, encoded])] = values(events, "confusion_matrix")
    picture = tf.io.decode_png(encoded).numpy()
    assert picture.shape == (int(height), int(width), 3)
    matrix = np.array([[1, 1, 0], [0, 3, 0], [0, 1, 0]])
    assert np.array_equal(picture, confusion_picture(matrix, LABELS))


@pytest.mark.parametrize(("classes", "curve_count", "image_count"), [(20, 20, 1), (21, 0, 1), (61, 0, 0)])
def test_over_20_classes_have_no_curves_and_over_60_no_image(board, read, classes, curve_count, image_count):
    labels = [f"class {number}" for number in range(classes)]
    targets, probabilities = draw_scores(300, classes)
    board.curves(1, labels, targets, probabilities)
    write_confusion(board, 1, labels, targets, probabilities.argmax(axis=1))
    tags = read().Tags()["tensors"]
    assert sum(tag.startswith("precision_recall/") for tag in tags) == curve_count
    assert tags.count("confusion_matrix") == image_count


def test_the_graph_of_a_function_is_written(board, read):
    function = tf.function(lambda x: tf.nn.relu(x, name="rectified"))
    board.graph(function.get_concrete_function(tf.TensorSpec([2], tf.float32)))
    assert "rectified" in [node.name for node in read().Graph().node]


def test_hyperparameters_and_final_metrics_make_a_session(board, read):
    board.hyperparameters(
        1, {"optimizer": "adam", "rate": 0.5, "batch": 64, "nesterov": True}, {"validation_top1": 0.9}
    )
    events = read("hyperparameters")

    def content(tag):
        return events.SummaryMetadata(tag).plugin_data.content

    start = hparams.parse_session_start_info_plugin_data(content(hparams.SESSION_START_INFO_TAG))
    assert start.hparams["optimizer"].string_value == "adam"
    assert start.hparams["rate"].number_value == 0.5
    assert start.hparams["batch"].number_value == 64
    assert start.hparams["nesterov"].bool_value is True
    end = hparams.parse_session_end_info_plugin_data(content(hparams.SESSION_END_INFO_TAG))
    assert end.status == 1  # STATUS_SUCCESS
    assert start.start_time_secs <= end.end_time_secs
    assert values(events, "validation_top1") == [(1, np.float32(0.9))]
    assert plugin(events, "validation_top1") == "scalars"
