"""The format `json`: one object a message, fields found by dotted path.

Messages are decoded into structs made from the plan, where msgspec itself checks every type. A message that it refuses
is looked at by itself: either it only holds more, or one feature has the wrong type, which sets that cell apart; or it
is rejected with the exact reason. What becomes of a message depends on that message alone, never on its neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.stream.formats import Decoded, Rejection, message_format
from daemon.stream.formats.json.examination import MAX_BYTES, Unreadable, kind_of, may_be_deep, parse
from daemon.stream.formats.json.structs import Tree
from daemon.stream.mapping import ACCEPTED, REQUIRED, WANTED, Path, Plan
from detectors.values import value_text

_NAMED_FIELDS = 100
_ODD = 64
"""After so many messages that only hold more than was expected, other keys are skipped and brackets counted."""
_DISTRUST = 64
"""After so many values of the wrong type a column is decoded untyped, and checked as a whole."""

_BLOCKED = object()


@message_format("json")
class JsonDecoder:
    """Decodes JSON objects by one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tree = Tree(plan)
        self._column_names = frozenset(fetch.name for fetch in plan.columns)
        self._odd = 0
        self._has_strangers = False
        self._wrong: Counter[str] = Counter()
        self._unusual: Counter[str] = Counter()
        self._compile()

    def _compile(self) -> None:
        self._decode = msgspec.json.Decoder(self._tree.compile()).decode

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """The batch in columns; see `Decoder`."""
        batch = _Batch()
        todo: Sequence[bytes] = values  # type: ignore[assignment]
        places: Sequence[int] = range(len(values))
        if not all(values):
            places = [place for place, value in enumerate(values) if value]
            todo = [value for value in values if value]
            batch.ignored = len(values) - len(todo)
        if todo and (self._tree.lenient or self._has_strangers):
            self._look_for_new(todo[0], batch)
        start = 0
        for stop in (*self._suspects(todo), len(todo)):
            self._run(todo, places, start, stop, batch)
            if stop < len(todo):
                self._mend(todo[stop], places[stop], batch)
            start = stop + 1
        return self._columns(batch)

    def message(self, value: bytes) -> Mapping[str, Any]:
        """Everything that one message holds; see `Decoder`."""
        return parse(value)

    def _suspects(self, values: Sequence[bytes]) -> list[int]:
        """Messages that are too large, or may be nested too deep in places that the structs skip."""
        suspects: set[int] = set()
        if sum(map(len, values)) > MAX_BYTES:
            suspects.update(i for i, value in enumerate(values) if len(value) > MAX_BYTES)
        if self._tree.lenient:
            suspects.update(i for i, value in enumerate(values) if may_be_deep(value))
        return sorted(suspects)

    def _run(self, values: Sequence[bytes], places: Sequence[int], start: int, stop: int, batch: _Batch) -> None:
        """Decode values[start:stop], which hold nothing suspicious; what the structs refuse is mended one by one."""
        rows = batch.rows
        while start < stop:
            before = len(rows)
            try:
                rows.extend(map(self._decode, values[start:stop]))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                done = len(rows) - before
                batch.places.extend(places[start : start + done])
                start += done
                # A struct may have learnt the message's keys meanwhile: the next ones are then decoded by the new one.
                self._mend(values[start], places[start], batch)
                start += 1
            else:
                batch.places.extend(places[start:stop])
                return

    def _mend(self, value: bytes, place: int, batch: _Batch) -> None:
        """Look at one message by itself: it is a row after all, or another model's, or rejected."""
        try:
            message = parse(value)
        except Unreadable as error:
            batch.rejected.append(Rejection(place, error.reason, error.detail))
            return
        if any(not _same(_at(message, path), text) for path, text in self._plan.where):
            batch.ignored += 1
            return
        found: dict[str, Any] = {}
        wrong: list[str] = []
        unusual: list[str] = []
        for fetch in self._plan.fetches:
            here = _at(message, fetch.path)
            accepted = ACCEPTED.get(fetch.kind)
            if here is None or (here == "" and fetch.name == "id"):
                if fetch.kind in REQUIRED:
                    batch.rejected.append(_no(fetch.name, fetch.path, place))
                    return
                found[fetch.name] = None
            elif here is not _BLOCKED and (accepted is None or type(here) in accepted):
                found[fetch.name] = here
                if fetch.usual and type(here) is str and here not in fetch.usual:
                    unusual.append(fetch.name)
            elif fetch.name in self._column_names:
                found[fetch.name] = None
                wrong.append(fetch.name)
            else:
                what = "inside something that is no object" if here is _BLOCKED else kind_of(here)
                detail = f"{'.'.join(fetch.path)} is {what}, not {WANTED[fetch.kind]}."
                batch.rejected.append(Rejection(place, f"wrong type of {fetch.name}", detail))
                return
        self._learn(message, wrong, unusual, batch)
        row = len(batch.rows)
        batch.rows.append(self._tree.row(found))
        batch.places.append(place)
        batch.wrong.extend((name, row) for name in wrong)

    def _learn(self, message: dict[str, Any], wrong: Sequence[str], unusual: Sequence[str], batch: _Batch) -> None:
        """Make structs that take such a message as well, so that the next one like it is decoded fast."""
        self._notice(message, batch)
        changed = False
        if not self._tree.lenient:
            changed = self._tree.learn(message)
            if not changed and not wrong and not unusual:
                self._odd += 1
                if self._odd > _ODD:
                    self._tree.lenient = changed = True
        for name in wrong:
            self._wrong[name] += 1
            if self._wrong[name] == _DISTRUST:
                self._tree.distrust(name)
                changed = True
        for name in unusual:
            self._unusual[name] += 1
            if self._unusual[name] == _DISTRUST:
                self._tree.expect_any(name)
                changed = True
        if changed:
            self._compile()

    def _look_for_new(self, value: bytes, batch: _Batch) -> None:
        """The first message of a batch, for features that no column has: structs that skip or know keys do not tell."""
        if len(value) <= MAX_BYTES:
            try:
                self._notice(parse(value), batch)
            except Unreadable:
                return

    def _notice(self, message: dict[str, Any], batch: _Batch) -> None:
        under = self._plan.open_under
        features = None if under is None else _at(message, under)
        if not isinstance(features, dict):
            return
        for key in self._tree.strangers(under or (), features):
            batch.new_fields[key[:_NAMED_FIELDS]] += 1
            self._has_strangers = True

    def _columns(self, batch: _Batch) -> Decoded:
        rows, tree, plan = batch.rows, self._tree, self._plan
        places = np.array(batch.places, dtype=np.int64)
        keep = np.ones(len(rows), dtype=bool)
        for i, (_, text) in enumerate(plan.where):
            fetched = map(attrgetter(tree.attribute[f"where {i}"]), rows)
            keep &= np.fromiter((value == text or _same(value, text) for value in fetched), dtype=bool, count=len(rows))
        batch.ignored += len(rows) - int(np.count_nonzero(keep))
        if not all(map(attrgetter(tree.attribute["id"]), rows)):
            named = np.fromiter(
                (row_id != "" for row_id in map(attrgetter(tree.attribute["id"]), rows)), bool, len(rows)
            )
            batch.rejected += [_no("id", plan.id.path, place) for place in places[keep & ~named].tolist()]
            keep &= named
        if not keep.all():
            kept = np.flatnonzero(keep)
            new_row = dict(zip(kept.tolist(), range(len(kept)), strict=True))
            batch.wrong = [(name, new_row[row]) for name, row in batch.wrong if row in new_row]
            rows = [rows[i] for i in kept.tolist()]
            places = places[kept]
        found = tree.columns(rows)
        mistyped = {name: _mask(batch.wrong, name, len(rows)) for name in {name for name, _ in batch.wrong}}
        columns: dict[str, Sequence[Any]] = {fetch.name: found[fetch.name] for fetch in plan.columns}
        for name in tree.distrusted & columns.keys():
            accepted = (*ACCEPTED.get(tree.kind[name], ()), type(None))
            values = columns[name]
            right = np.fromiter((type(value) in accepted for value in values), dtype=bool, count=len(values))
            if not right.all():
                columns[name] = [value if sound else None for value, sound in zip(values, right, strict=True)]
                mistyped[name] = mistyped.get(name, np.zeros(len(rows), dtype=bool)) | ~right
        ids = found["id"]
        if set(map(type, ids)) - {str}:
            ids = [value if type(value) is str else str(value) for value in ids]
        batch.rejected.sort(key=lambda rejection: rejection.index)
        return Decoded(
            index=places,
            ids=ids,
            times=found.get("timestamp"),
            versions=found.get("version"),
            items=found.get("item"),
            columns=columns,
            mistyped=mistyped,
            rejected=batch.rejected,
            ignored=batch.ignored,
            new_fields=dict(batch.new_fields),
        )


class _Batch:
    """What has been found in a batch so far."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.places: list[int] = []
        self.wrong: list[tuple[str, int]] = []
        self.rejected: list[Rejection] = []
        self.ignored = 0
        self.new_fields: Counter[str] = Counter()


def _at(message: dict[str, Any], path: Path) -> Any:
    """The value at a path, None where there is none, _BLOCKED inside something that is no object."""
    here: Any = message
    for key in path:
        if here is None:
            return None
        if not isinstance(here, dict):
            return _BLOCKED
        here = here.get(key)
    return here


def _same(value: Any, text: str) -> bool:
    """Whether a value is the one that `where` names: numbers and truth values are compared by their text."""
    return value == text if isinstance(value, str) else isinstance(value, int | float) and value_text(value) == text


def _no(name: str, path: Path, place: int) -> Rejection:
    return Rejection(place, f"no {name}", f"There is no {'.'.join(path)}.")


def _mask(wrong: Sequence[tuple[str, int]], name: str, rows: int) -> NDArray[np.bool_]:
    mask = np.zeros(rows, dtype=bool)
    mask[[row for column, row in wrong if column == name]] = True
    return mask
