"""Estimates for rows whose labels nobody knows yet, by what a reference has taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.estimation.family import FAMILIES, Family
from detectors.estimation.given import given_rows
from detectors.estimation.learning import Estimation
from detectors.frames import LABEL, plain_values
from detectors.quality.metric import Measured
from detectors.quality.reading import Terms

if TYPE_CHECKING:
    from detectors.reference import Reference

CACHED = 256
"""Estimators that a process keeps, the latest; one of a regression takes about 200 KB."""
_KNOWN: dict[str, Estimator] = {}


@dataclass(frozen=True, slots=True)
class Estimator:
    """A family with what it has learned from one reference."""

    terms: Terms
    family: Family
    learned: Any
    estimation: Estimation

    @classmethod
    def of(cls, reference: Reference, terms: Terms) -> Estimator | None:
        """The estimator of a labelled reference; None when it has none, for `reference.estimation.reason`.

        A model of errors is learned from the reference's stored rows, once in a process: a third of a second.
        """
        estimation = reference.estimation
        if estimation.reason is not None:
            return None
        found = _KNOWN.get(reference.hash)
        if found is None:
            while len(_KNOWN) >= CACHED:
                _KNOWN.pop(next(iter(_KNOWN)))
            found = _KNOWN[reference.hash] = cls._learned(reference, terms)
        return found

    @classmethod
    def _learned(cls, reference: Reference, terms: Terms) -> Estimator:
        family = FAMILIES[terms.task]
        learned = None
        if family.learns:
            stored = reference.sample
            given = given_rows(stored, terms, plain_values(stored[LABEL]))
            assert not isinstance(given, str)
            learned = family.learned(given, reference.columns)
        return cls(terms, family, learned, reference.estimation)

    def estimates(self, frame: pd.DataFrame, scores: NDArray[np.generic] | None = None) -> Mapping[str, Measured] | str:
        """The estimated metrics of a frame's rows, by name, or in words why there are none.

        `scores` holds each row's probabilities by class as JSON text.
        """
        given = given_rows(frame, self.terms, None, scores)
        if isinstance(given, str):
            return given
        if not len(given):
            return "no row has what an estimate is made from"
        signal = self.family.signal(self.learned, given)
        return self.family.estimates(given, self.family.expected(signal, self.estimation.curves, given))
