# ruff: noqa
"""One script for both renames: the import name (`stages.x` -> `slimline.stages.room.x`) and the rooms."""
import re, subprocess, sys
from pathlib import Path

root = Path.cwd()
rooms = {
    "ingest": "stages/ingest.py",
    "base": "stages/base.py",
    "features": "stages/features.py",
    "review": "stages/review.py",
    "head": "stages/head.py",
    "train": "stages/train.py",
    "evaluate": "stages/evaluate.py",
    "export": "stages/export.py",
    "report": "stages/report.py",
    "classify": "stages/classify.py",
    "compare": "stages/compare.py",
    "serve": "stages/serve.py",
    "fusions": "stages/fusions.py",
    "table": "stages/table.py",
    "progress": "pipeline/progress.py",
    "interruption": "pipeline/signals.py",
    "tensorflow": "stages/backend/tensorflow.py",
    "hardware": "stages/backend/hardware.py",
    "networks.slim": "stages/backend/slim.py",
    "data.download": "stages/fetching/download.py",
    "data.part": "stages/fetching/partial.py",
    "data.digests": "stages/fetching/checksums.py",
    "data.archives": "stages/fetching/archives.py",
    "networks.package": "stages/fetching/packages.py",
    "data.formats": "stages/images/files.py",
    "data.containers": "stages/images/containers.py",
    "data.decoding": "stages/images/decoding.py",
    "data.orientation": "stages/images/orientation.py",
    "data.preprocessing": "stages/images/preprocessing.py",
    "data.batches": "stages/images/batches.py",
    "data.parallel": "stages/images/parallel.py",
    "data.augmentation": "stages/images/augmentation.py",
    "data.augmentation_config": "stages/images/augmentation_config.py",
    "data.randaugment": "stages/images/randaugment.py",
    "data.sources.archive": "stages/data/sources/archive.py",
    "data.sources.cells": "stages/data/sources/cells.py",
    "data.sources.folder": "stages/data/sources/folder.py",
    "data.sources.garden": "stages/data/sources/garden.py",
    "data.sources.layout": "stages/data/sources/layout.py",
    "data.sources.manifest": "stages/data/sources/manifest.py",
    "data.sources.parquet": "stages/data/sources/parquet.py",
    "data.sources.photo": "stages/data/sources/photo.py",
    "data.sources.remote": "stages/data/sources/remote.py",
    "data.sources.table": "stages/data/sources/table.py",
    "data.sources.tfds": "stages/data/sources/tfds.py",
    "data.sources.tfrecord": "stages/data/sources/tfrecord.py",
    "data.flower_photos": "stages/data/sources/flower_photos.py",
    "data.garden": "stages/data/drawing/garden.py",
    "data.bloom": "stages/data/drawing/bloom.py",
    "data.checks": "stages/data/checking/checks.py",
    "data.known_photos": "stages/data/checking/known_photos.py",
    "data.twins": "stages/data/checking/near_duplicates.py",
    "data.survey": "stages/data/checking/survey.py",
    "usable_photos": "stages/data/checking/usable_photos.py",
    "data.classes": "stages/data/splitting/classes.py",
    "data.splits": "stages/data/splitting/splits.py",
    "data.split_config": "stages/data/splitting/config.py",
    "data.selection": "stages/data/splitting/selection.py",
    "data.records": "stages/data/storing/records.py",
    "data.shards": "stages/data/storing/shards.py",
    "data.index": "stages/data/storing/index.py",
    "data.photos": "stages/data/storing/photos.py",
    "data.photo_cache": "stages/data/storing/photo_cache.py",
    "data.features": "stages/data/storing/features.py",
    "data.epochs": "stages/data/storing/epochs.py",
    "ingest_config": "stages/data/config.py",
    "data.label_errors": "stages/data/label_errors.py",
    "networks.efficientnet_lite": "stages/networks/architectures/efficientnet_lite.py",
    "networks.inception": "stages/networks/architectures/inception.py",
    "networks.inception_v4": "stages/networks/architectures/inception_v4.py",
    "networks.mobile": "stages/networks/architectures/blocks.py",
    "networks.mobilenet_v1": "stages/networks/architectures/mobilenet_v1.py",
    "networks.mobilenet_v2": "stages/networks/architectures/mobilenet_v2.py",
    "networks.resnet": "stages/networks/architectures/resnet.py",
    "networks.top": "stages/networks/architectures/top.py",
    "networks.heads": "stages/networks/architectures/heads.py",
    "networks.frozen_graph": "stages/networks/graphs/frozen_graph.py",
    "networks.graph_constants": "stages/networks/graphs/constants.py",
    "networks.graph_file": "stages/networks/graphs/file.py",
    "networks.graph_tensors": "stages/networks/graphs/tensors.py",
    "networks.any_batch": "stages/networks/graphs/any_batch.py",
    "networks.symbolic": "stages/networks/graphs/symbolic.py",
    "networks.folding": "stages/networks/graphs/folding.py",
    "networks.batch_norms": "stages/networks/graphs/batch_norms.py",
    "networks.pointwise": "stages/networks/graphs/pointwise.py",
    "networks.cost": "stages/networks/graphs/cost.py",
    "networks.module": "stages/networks/graphs/module.py",
    "networks.cache": "stages/networks/weights/cache.py",
    "networks.published": "stages/networks/weights/published.py",
    "networks.read_published": "stages/networks/weights/read_published.py",
    "networks.given": "stages/networks/weights/user_weights.py",
    "networks.restore": "stages/networks/weights/restore.py",
    "networks.checkpoint": "stages/networks/weights/checkpoint.py",
    "networks.keras_file": "stages/networks/weights/keras_file.py",
    "networks.keras_layers": "stages/networks/weights/keras_child.py",
    "networks.torch_file": "stages/networks/weights/torch_file.py",
    "networks.weights": "stages/networks/weights/torch_names.py",
    "networks.zoo": "stages/networks/weights/zoo.py",
    "networks.class_files": "stages/networks/weights/class_files.py",
    "networks.table": "stages/networks/table.py",
    "imagenet": "stages/imagenet/__init__.py",
    "probabilities": "stages/scoring/probabilities.py",
    "calibration": "stages/scoring/calibration.py",
    "metrics": "stages/scoring/metrics.py",
    "curves": "stages/scoring/curves.py",
    "slices": "stages/scoring/slices.py",
    "logits_file": "stages/scoring/logits_file.py",
    "model": "stages/models/card.py",
    "model_file": "stages/models/description.py",
    "model_places": "stages/models/formats.py",
    "opened_model": "stages/models/opened.py",
    "saved_model": "stages/models/saved_model.py",
    "runtimes": "stages/models/runtimes.py",
    "pretrained": "stages/models/pretrained.py",
    "networks.sources": "stages/models/initial_weights.py",
    "self_test": "stages/models/self_test.py",
    "base_config": "stages/models/base_config.py",
    "train_config": "stages/training/config.py",
    "optimizer_config": "stages/training/optimizer_config.py",
    "optimizers": "stages/training/optimizers.py",
    "schedules": "stages/training/schedules.py",
    "training": "stages/training/loop.py",
    "phase_run": "stages/training/phase.py",
    "phase_feeds": "stages/training/phase_feeds.py",
    "phase_network": "stages/training/network.py",
    "phase_trainer": "stages/training/trainer.py",
    "phase_validation": "stages/training/validation.py",
    "phase_view": "stages/training/tensorboard.py",
    "learning_rate_finder": "stages/training/learning_rate_finder.py",
    "charts": "stages/training/rate_chart.py",
    "feeds": "stages/training/feeds.py",
    "cut_cache": "stages/training/cut_cache.py",
    "train_state": "stages/training/state.py",
    "history": "stages/training/history.py",
    "training_charts": "stages/training/tensorboard_images.py",
    "training_progress": "stages/training/progress.py",
    "export_config": "stages/exporting/config.py",
    "exporters": "stages/exporting/writers.py",
    "parity": "stages/exporting/parity.py",
    "format_table": "stages/exporting/measurements.py",
    "model_card": "stages/exporting/model_card.py",
    "evaluate_config": "stages/evaluation/config.py",
    "evaluated": "stages/evaluation/predictions.py",
    "occlusion": "stages/evaluation/occlusion.py",
    "html": "stages/pages/elements.py",
    "page": "stages/pages/report.py",
    "compare_page": "stages/pages/compare.py",
    "finished_run": "stages/pages/finished_run.py",
    "dataset_page": "stages/pages/dataset.py",
    "serve_page": "stages/pages/serve.py",
    "confusion_table": "stages/pages/confusion_matrix.py",
    "interactive": "stages/pages/charts.py",
    "thumbnails": "stages/pages/thumbnails.py",
    "server": "stages/serving/app.py",
    "batcher": "stages/serving/batcher.py",
    "scored_photos": "stages/serving/scored_photos.py",
    "answers": "stages/serving/answers.py",
    "fusion_tables": "stages/fusion/tables.py",
    "fusion_ways": "stages/fusion/variants.py",
    "interleaved": "stages/fusion/timing.py",
    "optimised_graph": "stages/fusion/graph.py",
}
rooms.update({"model_card": "stages/pages/model_card.py", "charts": "stages/pages/rate_chart.py",
              "thumbnails": "stages/pages/thumbnails.py"})
dotted = {}   # old dotted -> new dotted
moves = {}    # old path -> new path
for old, new in rooms.items():
    old_path = "stages/" + old.replace(".", "/") + ".py"
    if not (root / old_path).exists():
        old_path = "stages/" + old.replace(".", "/") + "/__init__.py"
    assert (root / old_path).exists(), old_path
    dotted["stages." + old] = "slimline." + new.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if old_path != new:
        moves[old_path] = new
tests = {
    # helpers
    "tests/stages/data/hostile.py": "tests/stages/data/checking/hostile.py",
    "tests/stages/data/judging.py": "tests/stages/data/checking/judging.py",
    "tests/stages/data/usable.py": "tests/stages/data/checking/usable.py",
    "tests/stages/data/handmade.py": "tests/stages/data/checking/handmade.py",
    "tests/stages/data/preparing.py": "tests/stages/images/preparing.py",
    "tests/stages/networks/graphs.py": "tests/stages/networks/graphs/making.py",
    "tests/stages/data/test_damage.py": "tests/stages/data/checking/test_damage.py",
    "tests/stages/data/test_hostile.py": "tests/stages/data/checking/test_hostile.py",
    "tests/stages/networks/test_frozen_graph_errors.py": "tests/stages/networks/graphs/test_frozen_graph_errors.py",
    "tests/stages/data/test_features.py": "tests/stages/data/storing/test_features.py",
    "tests/stages/test_interruption.py": "tests/pipeline/test_signals.py",
}
stay = {"test_networks", "test_networks_keras", "test_networks_outline", "test_networks_training",
        "test_ingest_memory", "test_ingest_resume"}
for path in sorted(root.glob("tests/stages/**/test_*.py")):
    name = path.relative_to(root).as_posix()
    if name in tests or path.stem in stay: continue
    inner = path.parent.relative_to(root / "tests/stages").as_posix()
    key = (inner.replace("/", ".") + "." if inner != "." else "") + path.stem.removeprefix("test_")
    if key not in rooms:
        print("no room:", name, file=sys.stderr); continue
    new = Path(rooms[key])
    target = f"tests/{new.parent}/test_{new.stem}.py" if new.stem != "__init__" else f"tests/{new.parent}/test_imagenet.py"
    if target != name:
        tests[name] = target
moves.update(tests)
helpers = {old[:-3].replace("/", "."): new[:-3].replace("/", ".") for old, new in tests.items()}
dotted.update(helpers)

packages = set()
for old, new in moves.items():
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "mv", old, new], check=True)
longest = sorted(dotted, key=len, reverse=True)
pattern = re.compile(r"(?<![\w.])(" + "|".join(re.escape(name) for name in longest) + r")(?![\w])")
plain = re.compile(r"(?<![\w.\-/])pipeline(?=\.(artifact|code|config|content|errors|keys|memo|plan|refusals|run|runner|stage|store|sweep|usage|__main__)\b)")
from_package = re.compile(r"^(\s*)from (stages(?:\.data|\.networks|\.data\.sources)?|pipeline) import (\w+)( as \w+)?$", re.M)
def package(found):
    space, origin, name, alias = found.groups()
    if origin == "pipeline":
        return f"{space}from slimline.pipeline import {name}{alias or ''}"
    new = dotted[f"{origin}.{name}"]
    parent, _, last = new.rpartition(".")
    if last != name and not alias:
        print("renamed:", found.group(0).strip(), "->", last, file=sys.stderr)
        alias = f" as {name}"
    return f"{space}from {parent} import {last}{alias or ''}"
for path in [*root.glob("**/*.py"), root / "pyproject.toml"]:
    if ".venv" in path.parts: continue
    text = path.read_text()
    new = from_package.sub(package, text)
    new = pattern.sub(lambda found: dotted[found.group(1)], new)
    new = plain.sub("slimline.pipeline", new)
    new = re.sub(r"(?<![\w.\-/])stages(?=\.table\b)", "slimline.stages", new)
    if new != text:
        path.write_text(new)
