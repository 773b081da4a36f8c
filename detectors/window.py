"""One version's window beside its reference: what every check and every column's drift is computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.coordinates import Kind
from detectors.findings import Verdict
from detectors.instants import Micros
from detectors.layout import CategoricalLayout, NumericLayout
from detectors.noise import CoordinateResult, Noise, State, WindowTest
from detectors.profile import Profile
from detectors.rates import UsualCount
from detectors.reference import Reference
from detectors.rules import ColumnRule, Rules
from detectors.sizes import Columns

MUTED = {State.CALIBRATED: None, State.CALIBRATING: Verdict.CALIBRATING, State.UNCALIBRATED: Verdict.UNCALIBRATED}


class Cells:
    """A profile's counts by column, read once: shares are of all rows, 0 without rows."""

    def __init__(self, profile: Profile) -> None:
        self._dense = profile.cells.dense(0, profile.layout.cells)
        self._columns = {column.name: column for column in profile.layout.columns}
        ends = np.array([column.start + column.body for column in profile.layout.columns], dtype=np.int64)
        rows = max(1, profile.rows)

        def shares(place: int) -> dict[str, float]:
            return dict(zip(self._columns, (self._dense[ends + place] / rows).tolist(), strict=True))

        self.missing: Mapping[str, float] = shares(0)
        self.non_finite: Mapping[str, float] = shares(1)
        self.mistyped: Mapping[str, float] = shares(2)

    def counts(self, column: str) -> NDArray[np.int64]:
        """The column's body cells."""
        at = self._columns[column]
        return self._dense[at.start : at.start + at.body]


@dataclass(frozen=True, eq=False)
class Window:
    """The window of one version, or of all versions together when `version` is None.

    `usual` are the reference's cells; `sampled` the rows for tests that need rows, and `exact` says that they are all.
    """

    version: str | None
    start: Micros
    profile: Profile
    reference: Reference
    usual: Cells
    noise: Noise
    rules: Rules
    sampled: Columns | None = None
    exact: bool = False

    @property
    def rows(self) -> int:
        return self.profile.rows

    @property
    def columns(self) -> tuple[NumericLayout | CategoricalLayout, ...]:
        return self.profile.layout.columns

    @property
    def muted(self) -> Verdict | None:
        """What stands in for a verdict while ordinary variation is not known well enough."""
        return MUTED[self.noise.state]

    @cached_property
    def cells(self) -> Cells:
        return Cells(self.profile)

    @cached_property
    def tested(self) -> WindowTest:
        return self.noise.test(self.profile, self.start)

    def rule(self, column: str) -> ColumnRule:
        """How the column is to be judged."""
        return self.rules.columns.get(column, _DEFAULT)

    def share_test(self, column: str, kind: Kind) -> CoordinateResult | None:
        """The test of one of the shares that every column has; None without rows."""
        return self.tested.share(column, kind)

    def rare(self, share: float) -> UsualCount:
        """How many rows usually have what `share` of the reference's rows had; half a row more than it had."""
        return self.noise.rare(share, self.rows)

    def usual_rows(self) -> UsualCount | None:
        """How many rows such a window usually has; None where the reference cannot tell."""
        usual = self.reference.usual_rows
        return None if usual is None else usual.at(self.start)


_DEFAULT = ColumnRule()
