from __future__ import annotations

from pathlib import Path

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.fetching.packages import package_file


def test_a_file_that_a_package_ships_is_found() -> None:
    assert package_file("sklearn", "datasets/images/china.jpg").read_bytes()[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("package", "distribution"), [("sklearn", "scikit-learn"), ("no_such_package", "no-such-package")]
)
def test_the_error_for_a_missing_file_names_the_package_to_install(package: str, distribution: str) -> None:
    with pytest.raises(
        UserError,
        match=rf"^The file a/b of the package {distribution} isn't installed\.\n.*pip install {distribution}$",
    ):
        package_file(package, str(Path("a/b")))
