"""How TensorFlow is imported: what must not change once it is up."""

from __future__ import annotations

import os
import subprocess
import sys

IMPORTS = """
import sys
import stages.tensorflow

def refuse(event, arguments):
    if event in ("os.putenv", "os.unsetenv"):
        raise AssertionError(f"{event} {arguments} while TensorFlow may read the environment")

sys.addaudithook(refuse)
import sklearn.linear_model
import sklearn.metrics
import scipy.optimize
"""


def test_what_is_imported_beside_it_leaves_the_environment_alone():
    bare = {name: value for name, value in os.environ.items() if not name.startswith("KMP_")}
    done = subprocess.run([sys.executable, "-c", IMPORTS], env=bare, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
