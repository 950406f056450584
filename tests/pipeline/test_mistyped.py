from __future__ import annotations

import shlex

import pytest

from slimline.pipeline.cli import CONF, STAGES
from slimline.pipeline.config_folders import find_config_folders
from slimline.pipeline.errors import UserError
from slimline.pipeline.mistyped import check_typed, read_vocabulary
from slimline.pipeline.settings import read_settings
from slimline.stages.former_flags import FORMER_FLAGS

WORDS = read_vocabulary(find_config_folders(None, (), CONF), read_settings(STAGES.values()), FORMER_FLAGS)


def answer(line: str) -> str:
    with pytest.raises(UserError) as caught:
        check_typed(shlex.split(line), WORDS)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "typed_instead"),
    [
        ("experiment=flowers", "+experiment=flowers"),
        ("--experiment flowers", "+experiment=flowers"),
        ("--experiment=flowers", "+experiment=flowers"),
        ("experiment flowers", "+experiment=flowers"),
        ("+experiment = flowers", "+experiment=flowers"),
        ("+experiment=flowers --epochs 5", "train.epochs=5"),
        ("+experiment=flowers --train.epochs 5", "train.epochs=5"),
        ("+experiment=flowers --epochs=5", "train.epochs=5"),
        ("+experiment=flowers -epochs 5", "train.epochs=5"),
        ("+experiment=flowers --head mlp", "head=mlp"),
        ("+experiment=flowers --optimizer adam", "train/optimizer=adam"),
        ("--image_dir=X", "ingest.images=X"),
        ("--image_dir ~/photos", "'ingest.images=~/photos'"),
        ("--image-dir 'my photos'", "'ingest.images=my photos'"),
        ("--checkpoint_path=model.ckpt", "base.weights=model.ckpt"),
        ("--lr 0.1", "train.optimizer.learning_rate=0.1"),
        ("--learning_rate=0.1", "train.optimizer.learning_rate=0.1"),
        ("--testing_percentage 20", "ingest.split.test=20"),
        ("--architecture mobilenet_1.0_224", "base=mobilenet_v1"),
        ("+experiment=flowers ingest.images /x", "ingest.images=/x"),
        ("+experiment=flowers ingest.images = /x", "ingest.images=/x"),
        ("+experiment=flowers ingest.images= /x", "ingest.images=/x"),
        ("+experiment=flowers ingest.images =/x", "ingest.images=/x"),
        ("+experiment=flowers head mlp", "head=mlp"),
        ("+experiment=flowers +base.mirror=here", "base.download_host=here"),
        ("+experiment=flowers +train=head", "train=head"),
        ("--resolve", "--cfg job --resolve"),
        ("-p train", "--cfg job --package train"),
        ("--cfg", "--cfg job"),
        ("--cfg jobs", "--cfg with one of: job, hydra, all"),
        ("--cfg=jobs", "--cfg with one of: job"),
        ("--info=x", "--info with one of: all, config"),
        ("help", "--help"),
        ("flowers", "+experiment=flowers"),
        ("flowers ingest.images=X", "+experiment=flowers ingest.images=X"),
        ("classify a.jpg 'b c.jpg'", "+experiment=classify 'classify.images=[a.jpg,b c.jpg]'"),
        ("+experiment=classify classify.images=a.jpg b.jpg", "'classify.images=[a.jpg,b.jpg]'"),
        ("+experiment=flowers ingest.images:X", "ingest.images=X"),
        ("+experiment=flowers ingest.images:=X", "ingest.images=X"),
        ("+experiment=flowers ingest.images+=X", "ingest.images=X"),
        ("+experiment=flowers train.epochs==3", "train.epochs=3"),
    ],
)
def test_a_mistake_is_answered_with_what_to_type(line: str, typed_instead: str) -> None:
    assert f"Write {typed_instead}" in answer(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("+train.epoch=3", "Did you mean train.epochs?"),
        ("++train.epoch=3", "Did you mean train.epochs?"),
        ("+base.foo=1", "base has: "),
        ("+ingest.limit=5", "ingest has: "),
        ("+ingest.split.sal=5", "Did you mean ingest.split.salt?"),
        ("+train.optimizer.momentu=1", "Did you mean train.optimizer.momentum?"),
        ("+run.sweep.metrik=x", "Did you mean run.sweep.metric?"),
        ("+nothing=1", "nothing is not a setting of this config"),
        ("+train/optimiser=adam", "Did you mean train/optimizer?"),
        ("--how_many_training_steps 4000", "train.epochs=30"),
        ("--multi", "Did you mean --multirun?"),
        ("--confg-dir here", "Did you mean --config-dir?"),
        ("--experimental-rerun x", "not supported"),
        ("--shell-completion install=bash", "not supported"),
        ("-m --cfg job +experiment=flowers", "Leave -m out"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(line: str, said: str) -> None:
    assert said in answer(line)


@pytest.mark.parametrize(
    "line",
    [
        "+experiment=flowers",
        "-m +experiment=flowers head=linear,mlp",
        "+experiment=flowers train.class_weights.tulips=2",
        "+experiment=flowers '+train.class_weights={tulips: 2}'",
        "+experiment=flowers +train.class_weights.French=2",
        "+experiment=flowers train/optimizer=adam ~review",
        "+experiment=flowers ++train.epochs=3",
        "+experiment=flowers +hydra.job.name=x hydra.verbose=true",
        "--config-dir own +experiment=own",
        "--cfg job --resolve +experiment=flowers",
        "--cfg=job -p train +experiment=flowers",
        "--info defaults",
        "--info",
        "-i searchpath +experiment=flowers",
        "+experiment=flowers '+train.phases=[{trainable:[head],epochs:1}]'",
        "+experiment=classify classify.images=a.jpg -m",
        "+experiment=flowers ingest.images=a:b",
        "-",
    ],
)
def test_what_hydra_reads_is_left_to_it(line: str) -> None:
    check_typed(shlex.split(line), WORDS)


@pytest.mark.parametrize(("flag", "told"), FORMER_FLAGS.items())
def test_each_flag_of_another_program_is_answered_with_what_exists(flag: str, told: str) -> None:
    if not told[0].isupper():
        assert told in WORDS.settings or told in WORDS.groups
    for word in told.split():
        key, equals, _ = word.strip("'.,;:").partition("=")
        if equals and told[0].isupper() and key.lstrip("+").partition(".")[0] in WORDS.groups:
            key = key.lstrip("+")
            assert key in WORDS.settings or key in WORDS.groups, word
