"""The layout: column types, cells and category vocabularies, fixed by a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from detectors.columns import Column, ColumnType, Role, numeric_values
from detectors.errors import CorruptBlob, MissingColumn, ReferenceRejected
from detectors.values import text_codes, text_hashes

if TYPE_CHECKING:
    import pandas as pd

MISSING_VALUE = "(missing)"
OTHER_VALUE = "(other)"
BOOLEANS = ("false", "true")
REST_LIMIT = 100_000
"""So many values beyond the vocabulary are known by their hash; a column with more is id-like."""
COARSE = 8
"""About so many cells make one cell of a segment."""
SMALL = 64
"""A numeric column with at most so many distinct values keeps each of them in segments too."""

_SUFFIX = 3
_VERSION = 1


@dataclass(frozen=True, eq=False)
class ColumnLayout:
    """One column's slice of the global cell vector: its body, then missing, non-finite and mistyped.

    `start` and `coarse_start` are where the slice begins in the total's vector and in a segment's; `coarse[i]` is the
    coarse body cell that body cell i belongs to. `constant`: the reference holds one value only.
    """

    name: str
    type: ColumnType
    role: Role
    id_like: bool
    constant: bool
    start: int
    coarse_start: int
    body: int
    coarse_body: int
    coarse: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Cells of the slice in the total's vector."""
        return self.body + _SUFFIX

    @property
    def coarse_width(self) -> int:
        """Cells of the slice in a segment's vector."""
        return self.coarse_body + _SUFFIX


@dataclass(frozen=True, eq=False)
class NumericLayout(ColumnLayout):
    """Cells of a numeric column.

    Body: the low tail (below every reference value), the cells [edges[i], edges[i + 1]), the high tail.
    `positions[i]` stands for the values of body cell i: the reference's mean in it, its middle where the reference has
    none, the reference's minimum and maximum for the tails. `decile[j]` is the decile group of coarse body cell j (ties
    joined, tails in the outermost groups), `decile_edges` the borders between groups, ascending.
    `centre` (the median) is what sums are centred on; `sigma` is the deviation of the values clipped to their 1st-99th
    percentile, at least the smallest positive float unless the column is constant.
    """

    index: int
    edges: NDArray[np.float64]
    positions: NDArray[np.float64]
    decile: NDArray[np.int64]
    decile_edges: NDArray[np.float64]
    centre: float
    sigma: float
    distinct: int

    @cached_property
    def search(self) -> NDArray[np.float64]:
        """What is searched for in the sorted values: gives -inf, body cells, +inf and missing in one call."""
        return np.concatenate(([-np.finfo(np.float64).max], self.edges, [np.inf, np.nan]))

    @cached_property
    def coarse_place(self) -> NDArray[np.int64]:
        """Where the borders of `coarse_cell` are among [0, places of `search`, rows]."""
        first = np.flatnonzero(np.diff(self.coarse)) + 2
        return np.concatenate(([0, 1], first, np.arange(len(self.search) - 1, len(self.search) + 2)))

    @cached_property
    def coarse_cell(self) -> NDArray[np.int64]:
        """Cells of a segment's vector in ascending order of value: -inf, the coarse body, +inf, missing."""
        body, top = np.arange(self.coarse_body), self.coarse_body
        return np.concatenate(([top + 1], body, [top + 1, top])) + self.coarse_start


@dataclass(frozen=True, eq=False)
class CategoricalLayout(ColumnLayout):
    """Cells of a categorical or boolean column: the vocabulary, commonest first, then rest and unseen.

    `rest` holds the sorted hashes of the values that the reference had but the cap cut off. An id-like column has no
    vocabulary: each of its values is rest.
    """

    vocabulary: tuple[str, ...]
    rest: NDArray[np.uint64]

    @cached_property
    def code(self) -> dict[str, int]:
        """Vocabulary text to code."""
        return {text: i for i, text in enumerate(self.vocabulary)}

    @cached_property
    def coarse_of_code(self) -> NDArray[np.int64]:
        """Cell of a segment's vector for each vocabulary code and rest; the last entry is what a missing -1 picks."""
        return np.append(self.coarse[:-1], self.coarse_body) + self.coarse_start


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One way to split rows: by a column, or by several crossed; the reference's commonest values, then other."""

    columns: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]

    @property
    def size(self) -> int:
        """Segments, other included."""
        return len(self.values) + 1

    def label(self, index: int) -> dict[str, str]:
        """The values that name a segment: {"origin": "JFK"}; for the last index {"origin": "(other)"}."""
        value = self.values[index] if index < len(self.values) else (OTHER_VALUE,) * len(self.columns)
        return dict(zip(self.columns, value, strict=True))


@dataclass(frozen=True, eq=False)
class Layout:
    """Column types, cells and vocabularies that make every partial of a model comparable and mergeable.

    A pure function of the reference: equal references, in any row order, give equal bytes and so an equal hash.
    """

    columns: tuple[NumericLayout | CategoricalLayout, ...]
    segmentations: tuple[Segmentation, ...]

    @cached_property
    def _canonical(self) -> bytes:
        return msgspec.msgpack.encode(
            {
                "columns": [_pack_column(column) for column in self.columns],
                "segmentations": [[s.columns, s.values] for s in self.segmentations],
            }
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical bytes, as hexadecimal digits."""
        return sha256(self._canonical).hexdigest()

    @cached_property
    def cells(self) -> int:
        """Length of the global cell vector."""
        return self.columns[-1].start + self.columns[-1].width if self.columns else 0

    @cached_property
    def coarse_cells(self) -> int:
        """Length of one segment's cell vector: its rows first, then the columns' slices."""
        return self.columns[-1].coarse_start + self.columns[-1].coarse_width if self.columns else 1

    @cached_property
    def segment_starts(self) -> tuple[int, ...]:
        """For each segmentation the number of segments before it; the last entry is the number of all."""
        starts = [0]
        for segmentation in self.segmentations:
            starts.append(starts[-1] + segmentation.size)
        return tuple(starts)

    @cached_property
    def numeric(self) -> tuple[NumericLayout, ...]:
        """The numeric columns, in order of their `index`."""
        return tuple(column for column in self.columns if isinstance(column, NumericLayout))

    @cached_property
    def numeric_bounds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each numeric column where its body begins and ends in the global cell vector."""
        starts = np.array([column.start for column in self.numeric], dtype=np.int64)
        return starts, starts + np.array([column.body for column in self.numeric], dtype=np.int64)

    @cached_property
    def categorical(self) -> tuple[CategoricalLayout, ...]:
        """The categorical and boolean columns."""
        return tuple(column for column in self.columns if isinstance(column, CategoricalLayout))

    @cached_property
    def _by_name(self) -> dict[str, NumericLayout | CategoricalLayout]:
        return {column.name: column for column in self.columns}

    def column(self, name: str) -> NumericLayout | CategoricalLayout:
        """The layout of one column; KeyError when there is none of that name."""
        return self._by_name[name]

    def to_bytes(self) -> bytes:
        """The layout as a versioned, compressed blob."""
        return bytes([_VERSION]) + zstandard.ZstdCompressor(level=9).compress(self._canonical)

    @classmethod
    def from_bytes(cls, data: bytes) -> Layout:
        """The layout that `to_bytes` wrote; CorruptBlob when it is none, or a newer program's."""
        if data[:1] != bytes([_VERSION]):
            raise CorruptBlob("these bytes are no layout of a version that this program reads; upgrade driftd")
        try:
            body = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(data[1:]))
            columns = tuple(_unpack_column(column) for column in body["columns"])
            segmentations = tuple(Segmentation(tuple(c), tuple(map(tuple, v))) for c, v in body["segmentations"])
        except (zstandard.ZstdError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise CorruptBlob(f"a stored layout is damaged ({error}); restore the store from a backup") from error
        return cls(columns, segmentations)


def build_layout(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    *,
    segment_by: Sequence[tuple[str, ...]],
    max_segments: int = 20,
    vocabulary_limit: int = 1000,
    quantiles: int = 500,
    cuts: int = 128,
) -> Layout:
    """The layout of a reference: see verdicts.md, "Layout".

    `segment_by` names columns of `columns`. Raises MissingColumn when it names another one, ReferenceRejected when the
    crossed segments are too many to count.
    """
    built: list[NumericLayout | CategoricalLayout] = []
    start, coarse_start, index = 0, 1, 0
    for column in columns:
        series = frame[column.name]
        layout: NumericLayout | CategoricalLayout
        if column.type is ColumnType.NUMERIC:
            layout = _numeric(column, numeric_values(series), start, coarse_start, index, quantiles, cuts)
            index += 1
        else:
            layout = _categorical(column, series, start, coarse_start, vocabulary_limit, quantiles)
        built.append(layout)
        start += layout.width
        coarse_start += layout.coarse_width
    segmentations = tuple(_segmentation(frame, columns, by, max_segments) for by in segment_by)
    layout_ = Layout(tuple(built), segmentations)
    if layout_.segment_starts[-1] * layout_.coarse_cells >= 2**32:
        raise ReferenceRejected("segments x cells is beyond what can be counted: lower segments.max_values")
    return layout_


def _numeric(
    column: Column,
    values: NDArray[np.float64],
    start: int,
    coarse_start: int,
    index: int,
    quantiles: int,
    cuts: int,
) -> NumericLayout:
    x = np.sort(values) + 0.0  # -0.0 and 0.0 are one value
    n = len(x)
    distinct, counts = np.unique(x, return_counts=True)
    if len(distinct) <= quantiles:
        atoms = distinct
    else:
        atoms = distinct[counts * quantiles >= n]
    ranks = x[(np.arange(1, quantiles) * n) // quantiles]
    share = np.arange(1, cuts) / cuts
    grid = x[0] * (1 - share) + x[-1] * share
    deciles = np.unique(x[(np.arange(1, 10) * n) // 10])
    deciles = deciles[deciles > x[0]]
    with np.errstate(over="ignore"):  # beyond the largest float is infinity
        above, last = np.nextafter(atoms, np.inf), np.nextafter(x[-1], np.inf)
    edges = np.unique(np.concatenate((ranks, atoms, above, grid, deciles, x[:1])))
    edges = np.append(edges[(edges >= x[0]) & (edges < last)], last)

    cell = np.searchsorted(edges, x, side="right")  # 1 .. cells: 0 is the low tail
    body = len(edges) + 1
    per_cell = np.bincount(cell, minlength=body)
    below = np.nextafter(edges[1:], -np.inf)
    positions = np.empty(body)
    positions[0], positions[-1] = x[0], x[-1]
    filled = np.flatnonzero(per_cell)
    with np.errstate(over="ignore"):
        positions[1:-1] = edges[:-1] / 2 + below / 2
        positions[filled] = (
            np.add.reduceat(x, np.concatenate(([0], np.cumsum(per_cell[filled])[:-1]))) / per_cell[filled]
        )
    positions[1:-1] = np.clip(positions[1:-1], edges[:-1], below)

    own = distinct if len(distinct) <= SMALL else distinct[counts * quantiles >= n]
    coarse = _coarse_numeric(edges, per_cell, own, deciles)
    coarse_body = int(coarse[-1]) + 1
    first = np.searchsorted(coarse, np.arange(coarse_body))
    decile = np.searchsorted(deciles, np.concatenate(([-np.inf], edges))[first], side="right")
    return NumericLayout(
        name=column.name,
        type=column.type,
        role=column.role,
        id_like=False,
        constant=len(distinct) == 1,
        start=start,
        coarse_start=coarse_start,
        body=body,
        coarse_body=coarse_body,
        coarse=coarse,
        index=index,
        edges=edges,
        positions=positions,
        decile=decile.astype(np.int64),
        decile_edges=deciles,
        centre=float(x[n // 2]),
        sigma=_robust_sigma(x),
        distinct=len(distinct),
    )


def _coarse_numeric(
    edges: NDArray[np.float64], per_cell: NDArray[np.int64], own: NDArray[np.float64], deciles: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Coarse cell of every body cell: 8 filled cells to 1, across no decile, and no atom with anything else."""
    body = len(edges) + 1
    atom = np.zeros(body, dtype=bool)
    atom[np.searchsorted(edges, own, side="right")] = True
    border = np.zeros(body, dtype=bool)
    border[np.searchsorted(edges, deciles, side="right")] = True
    border[[1, body - 1]] = True  # the tails stand alone
    border |= atom
    border[1:] |= atom[:-1]
    coarse = np.zeros(body, dtype=np.int64)
    current, held = 0, int(per_cell[0] > 0)
    for i in range(1, body):
        if border[i] or (held == COARSE and per_cell[i] > 0):
            current, held = current + 1, 0
        held += int(per_cell[i] > 0)
        coarse[i] = current
    return coarse


def _robust_sigma(x: NDArray[np.float64]) -> float:
    """Deviation of sorted values clipped to their 1st-99th percentile; of all values when that is nothing."""
    n = len(x)
    clipped = np.clip(x, x[int(0.01 * (n - 1))], x[int(np.ceil(0.99 * (n - 1)))])
    for values in (clipped, x):
        with np.errstate(over="ignore"):
            unit = float(values[-1] - values[0])
        if not np.isfinite(unit):
            return float(np.finfo(np.float64).max)
        if unit > 0:
            # In units of their own range, or the squares of tiny numbers were nothing and those of huge ones infinite.
            return max(float(np.std((values - values[0]) / unit)) * unit, float(np.nextafter(0.0, 1.0)))
    return 0.0


def _categorical(
    column: Column, series: pd.Series, start: int, coarse_start: int, limit: int, quantiles: int
) -> CategoricalLayout:
    codes, texts = text_codes(series)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    id_like = column.id_like or len(texts) > limit + REST_LIMIT
    if column.type is ColumnType.BOOLEAN:
        vocabulary: tuple[str, ...] = BOOLEANS
    elif id_like:
        vocabulary = ()
    else:
        order = np.lexsort((np.arange(len(texts)), -counts))
        vocabulary = tuple(texts[i] for i in order[:limit])
    known = set(vocabulary)
    beyond = () if id_like else [text for text in texts if text not in known]
    count_of = dict(zip(texts, counts.tolist(), strict=True))
    total = int(counts.sum())
    size = len(vocabulary)
    coarse = np.empty(size + 2, dtype=np.int64)
    kept = 0
    for i, text in enumerate(vocabulary):
        # Commonest first, so the categories that keep a cell in segments are a prefix; booleans always do.
        if column.type is ColumnType.BOOLEAN or count_of[text] * quantiles >= total:
            coarse[i] = kept
            kept += 1
        else:
            coarse[i] = -1
    coarse[coarse[:] == -1] = kept
    coarse[size], coarse[size + 1] = kept, kept + 1
    return CategoricalLayout(
        name=column.name,
        type=column.type,
        role=column.role,
        id_like=id_like,
        constant=len(texts) == 1 and not id_like,
        start=start,
        coarse_start=coarse_start,
        body=size + 2,
        coarse_body=kept + 2,
        coarse=coarse,
        vocabulary=vocabulary,
        rest=np.sort(text_hashes(beyond)),
    )


def _segmentation(
    frame: pd.DataFrame, columns: Sequence[Column], by: tuple[str, ...], max_segments: int
) -> Segmentation:
    import pandas as pd

    names = {column.name for column in columns}
    for name in by:
        if name not in names:
            raise MissingColumn(f"segments.by names {name!r}, which is no watched column of the reference")
    parts = []
    for name in by:
        codes, texts = text_codes(frame[name])
        parts.append(np.array([*texts, MISSING_VALUE], dtype=object)[codes])
    counts = pd.Series(list(zip(*parts, strict=True)), dtype=object).value_counts()
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Segmentation(tuple(by), tuple(value for value, _ in ranked[:max_segments]))  # type: ignore[misc]


def _pack_column(column: NumericLayout | CategoricalLayout) -> dict[str, object]:
    packed: dict[str, object] = {
        "name": column.name,
        "type": column.type.value,
        "role": column.role.value,
        "id_like": column.id_like,
        "constant": column.constant,
        "start": column.start,
        "coarse_start": column.coarse_start,
        "body": column.body,
        "coarse_body": column.coarse_body,
        "coarse": column.coarse.astype("<u4").tobytes(),
    }
    if isinstance(column, NumericLayout):
        for field in ("edges", "positions", "decile_edges"):
            packed[field] = getattr(column, field).astype("<f8").tobytes()
        packed["decile"] = column.decile.astype("<u4").tobytes()
        packed |= {f: getattr(column, f) for f in ("index", "centre", "sigma", "distinct")}
    else:
        packed["vocabulary"] = column.vocabulary
        packed["rest"] = column.rest.astype("<u8").tobytes()
    return packed


def _unpack_column(packed: dict[str, object]) -> NumericLayout | CategoricalLayout:
    fields: dict[str, Any] = dict(packed)
    fields["type"] = ColumnType(fields["type"])
    fields["role"] = Role(fields["role"])
    for name, kind in (("coarse", "<u4"), ("decile", "<u4"), ("edges", "<f8"), ("positions", "<f8")):
        if name in fields:
            array = np.frombuffer(fields[name], dtype=kind)
            fields[name] = array.astype(np.int64 if kind == "<u4" else np.float64)
    if "edges" in fields:
        fields["decile_edges"] = np.frombuffer(fields["decile_edges"], dtype="<f8").astype(np.float64)
        return NumericLayout(**fields)
    fields["vocabulary"] = tuple(fields["vocabulary"])
    fields["rest"] = np.frombuffer(fields["rest"], dtype="<u8").astype(np.uint64)
    return CategoricalLayout(**fields)
