"""Files of frozen graphs and class names: valid files are read, and errors describe the others."""

from __future__ import annotations

import os

import numpy as np
import pytest
from google.protobuf import text_format

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.file import read_graph
from slimline.stages.networks.weights.class_files import read_inception_2015_labels, read_label_lines
from tests.stages.networks.graphs.making import graph_of, images_placeholder, pooled


@pytest.fixture(scope="module")
def graph_def():
    return graph_of(lambda: pooled(images_placeholder()))


def refusal(path, read=read_graph):
    with pytest.raises(UserError) as caught:
        read(path)
    return str(caught.value).splitlines()


def test_binary_and_text_are_read(tmp_path, graph_def):
    (tmp_path / "graph.pb").write_bytes(graph_def.SerializeToString())
    (tmp_path / "graph.pbtxt").write_text(text_format.MessageToString(graph_def))
    assert read_graph(tmp_path / "graph.pb") == graph_def
    assert read_graph(tmp_path / "graph.pbtxt") == graph_def


def test_a_missing_file_is_named_by_its_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [first, *_] = refusal(type(tmp_path)("absent.pb"))
    assert first == f"The graph {tmp_path / 'absent.pb'} doesn't exist."


def test_folders(tmp_path, graph_def):
    assert refusal(tmp_path)[1].endswith("the folder contains no .pb file.")
    (tmp_path / "graph.pb").write_bytes(graph_def.SerializeToString())
    assert refusal(tmp_path) == [
        f"The graph {tmp_path} is a folder.",
        "Choose the frozen GraphDef's file; the folder contains graph.pb.",
    ]


def test_a_saved_model_is_recognized(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    for path in (tmp_path, tmp_path / "saved_model.pb"):
        assert refusal(path)[0] == f"The graph {path} is a SavedModel, not a frozen graph."
        assert "convert_variables_to_constants_v2" in refusal(path)[1]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "a Git LFS pointer, not the file itself",
        ),
        (b"\n <!DOCTYPE html><html></html>", "an HTML page"),
        (b"<html><body>403</body></html>", "an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "an XML page"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"", "empty"),
    ],
)
def test_other_kinds_of_files_are_recognized(tmp_path, content, name):
    path = tmp_path / "graph.pb"
    path.write_bytes(content)
    assert refusal(path)[0] == f"The graph {path} is {name}."
    assert len(refusal(path)) == 2


def test_garbage_is_not_a_graph(tmp_path):
    path = tmp_path / "graph.pb"
    named = tf.compat.v1.GraphDef()
    named.node.add(name="a", op="Nonsense")
    random = [np.random.default_rng(seed).bytes(40) for seed in range(50)]
    for content in [b"hello", b"\x1a\x00", b"\x00" * 9, named.SerializeToString(), *random]:
        path.write_bytes(content)
        assert refusal(path)[0] == f"The graph {path} isn't a GraphDef."


def test_unknown_operations_are_named(tmp_path, graph_def):
    path = tmp_path / "graph.pb"
    strange = tf.compat.v1.GraphDef.FromString(graph_def.SerializeToString())
    strange.node.add(name="a", op="Nonsense")
    path.write_bytes(strange.SerializeToString())
    assert refusal(path)[0].endswith(f"uses operations that TensorFlow {tf.__version__} doesn't have: Nonsense.")


def test_functions_of_the_graph_are_known(tmp_path):
    @tf.function(autograph=False)
    def doubled(value):
        return value * 2.0

    path = tmp_path / "graph.pb"
    calling = graph_of(lambda: doubled(tf.zeros([2])))
    calling.node[-1].op = calling.library.function[0].signature.name
    path.write_bytes(calling.SerializeToString())
    assert read_graph(path).node[-1].op.startswith("__inference_doubled")


@pytest.mark.parametrize("resource", [False, True])
def test_a_graph_with_variables_is_not_frozen(tmp_path, resource):
    def build():
        tf.compat.v1.get_variable("weights", [2], use_resource=resource)
        pooled(images_placeholder())

    path = tmp_path / "graph.pb"
    path.write_bytes(graph_of(build).SerializeToString())
    first, advice = refusal(path)
    assert first == f"The graph {path} isn't frozen: it has 1 variables, for example weights."
    assert "freeze_graph" in advice


def inception_labels(folder, classes):
    entries = "".join(f'entry {{\n  target_class: {n}\n  target_class_string: "n{n:08}"\n}}\n' for n in classes)
    (folder / "imagenet_2012_challenge_label_map_proto.pbtxt").write_text(f"# -*- protobuffer -*-\n{entries}")
    words = "".join(f"n{n:08}\tthing {n}, Res {n}\n" for n in range(1, 1200))
    (folder / "imagenet_synset_to_human_label_map.txt").write_text(words)


def test_the_1008_names_of_the_2015_graph(tmp_path):
    inception_labels(tmp_path, [449, *range(1, 449), *range(450, 1001)])
    names = read_inception_2015_labels(tmp_path)
    assert len(names) == 1008
    assert names[449] == "thing 449, Res 449"
    assert names[0] == "unused 0"
    assert names[1000] == "thing 1000, Res 1000"
    assert names[1001:] == [f"unused {n}" for n in range(1001, 1008)]


def test_label_maps_that_are_not_the_2015_graphs(tmp_path):
    first = refusal(tmp_path, read_inception_2015_labels)[0]
    assert first.endswith("imagenet_2012_challenge_label_map_proto.pbtxt can't be read: No such file or directory.")
    inception_labels(tmp_path, [])
    assert refusal(tmp_path, read_inception_2015_labels)[0].endswith("have no entry.")
    inception_labels(tmp_path, [1008])
    assert refusal(tmp_path, read_inception_2015_labels)[0].endswith("have a class 1008.")
    inception_labels(tmp_path, [7])
    (tmp_path / "imagenet_synset_to_human_label_map.txt").write_text("n00000008\tthing\n")
    assert refusal(tmp_path, read_inception_2015_labels)[0].endswith(
        "lack n00000007, which is in imagenet_2012_challenge_label_map_proto.pbtxt."
    )


def test_one_name_per_line(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffdaisy\r\nœillet d'Inde \r\ndaisy\r\n\r\n".encode())
    assert read_label_lines(path) == ["daisy", "œillet d'Inde", "daisy"]


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        (b"", "are empty."),
        (b" \n\n", "are empty."),
        (b"daisy\n\nrose\n", "is empty."),
        (b"\xff\xfe\x00", "UTF-8 text."),
    ],
)
def test_names_that_cannot_be_read(tmp_path, content, ending):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    assert refusal(path, read_label_lines)[0].endswith(ending)


def test_a_missing_file_of_names(tmp_path):
    [first, _] = refusal(tmp_path / "labels.txt", read_label_lines)
    assert first == f"The class names {tmp_path / 'labels.txt'} can't be read: {os.strerror(2)}."
