"""Which classes the units that stay together show, and which units show a class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Held:
    """The pairs of a class and a unit that shows it, with lookup by class and by unit."""

    def __init__(self, labels: NDArray[np.integer[Any]], units: NDArray[np.int64], count: int) -> None:
        pairs = np.unique(labels.astype(np.int64) * max(1, count) + units)
        self.labels, self.units = np.divmod(pairs, max(1, count))
        self._order = np.argsort(self.units, kind="stable")
        self._sorted_units = self.units[self._order]

    def units_of(self, label: int) -> NDArray[np.int64]:
        """Return the units that show a class."""
        return self.units[slice(*np.searchsorted(self.labels, (label, label + 1)))]

    def labels_of(self, unit: int) -> NDArray[np.int64]:
        """Return the classes that a unit shows."""
        return self.labels[self._order[slice(*np.searchsorted(self._sorted_units, (unit, unit + 1)))]]
