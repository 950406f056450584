"""Published files of each kind are read by the names of TF-Slim's variables; the other kinds have their own tests."""

from __future__ import annotations

from functools import partial

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.fetching.packages import package_file
from slimline.stages.networks.architectures.efficientnet_lite import efficientnet_lite0
from slimline.stages.networks.graphs.module import SlimModule
from slimline.stages.networks.weights.published import published_weights
from slimline.stages.networks.weights.read_published import read_published


def test_package_of_another_network_is_refused():
    [lite0] = published_weights("efficientnet_lite0", 1.0, 224)
    path = package_file(lite0.package, lite0.file)
    with pytest.raises(UserError, match="is from another network"):
        read_published(lite0, path, {"Net/Conv/weights": (1, 1, 3, 4)})


def test_package_is_read_by_name():
    [lite0] = published_weights("efficientnet_lite0", 1.0, 224)
    module = SlimModule(partial(efficientnet_lite0, num_classes=1000), (64, 64, 3))
    names = {name: tuple(variable.shape) for name, variable in module.variables_by_name.items()}
    found = read_published(lite0, package_file(lite0.package, lite0.file), names)
    assert {name: value.shape for name, value in found.items()} == names
    with pytest.raises(UserError, match=r"has .*/biases \[1000\], but the network's is \[7\]"):
        read_published(lite0, package_file(lite0.package, lite0.file), {**names, list(names)[-1]: (7,)})
