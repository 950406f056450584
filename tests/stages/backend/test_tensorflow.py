"""The import of TensorFlow: settings, and an environment that must not change afterwards."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

IMPORTS = """
import sys
import slimline.stages.backend.tensorflow

def refuse(event, arguments):
    if event in ("os.putenv", "os.unsetenv"):
        raise AssertionError(f"{event} {arguments} while TensorFlow may read the environment")

sys.addaudithook(refuse)
import sklearn.linear_model
import sklearn.metrics
import scipy.optimize
"""


def test_later_imports_do_not_change_the_environment():
    bare = {name: value for name, value in os.environ.items() if not name.startswith("KMP_")}
    done = subprocess.run([sys.executable, "-c", IMPORTS], env=bare, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


CONVOLVES = """
from slimline.stages.fusion.graph import trace_graphs
from slimline.stages.backend.tensorflow import tf

def convolve_often(images):
    for _ in range(5):  # the largest graph is counted; the graph that writes the counts has three operations
        images = tf.nn.conv2d(images, tf.ones([3, 3, 8, 8]), 1, "SAME")
    return images

convolve = tf.function(convolve_often)
print(sorted(operation.name for operation in trace_graphs(lambda: convolve(tf.ones([2, 9, 9, 8]))).run))
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other machines use TensorFlow's default")
@pytest.mark.parametrize(("chosen", "used"), [({}, True), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, False)])
def test_onednn_computes_on_every_x86_cpu_unless_told_otherwise(chosen, used):
    bare = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run(
        [sys.executable, "-c", CONVOLVES], env={**bare, **chosen}, capture_output=True, text=True, timeout=120
    )
    assert "Conv2D" in done.stdout, done.stderr
    assert ("_Mkl" in done.stdout) is used


WHILE_QUIET = """
import os, sys, threading
from slimline.stages.backend.tensorflow import quiet_stderr

quiet, said = threading.Event(), threading.Event()

def work():
    with quiet_stderr():
        quiet.set()
        said.wait(30)
        os.write(2, b"a note of C++ code\\n")
        print("a warning of the importing thread", file=sys.stderr)

thread = threading.Thread(target=work)
thread.start()
quiet.wait(30)
print("the message of an error", file=sys.stderr)
said.set()
thread.join()
os.write(2, b"written later\\n")
print("printed later", file=sys.stderr)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_only_the_thread_that_asks_for_quiet_is_silent(unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-c", WHILE_QUIET]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["the message of an error", "written later", "printed later"]
