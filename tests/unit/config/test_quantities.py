from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from daemon.config.forms import (
    Condition,
    Features,
    FieldPath,
    Groups,
    Listen,
    Names,
    ReferenceFile,
    Servers,
    Text,
    Topics,
    Url,
)
from daemon.config.quantities import (
    LONGEST,
    AlarmBudget,
    Duration,
    FirstWindows,
    PositiveDuration,
    Share,
    Start,
    Windows,
    duration_text,
    parse_duration,
)
from daemon.config.settings import Model

READ = [
    (Duration, "250ms", timedelta(milliseconds=250)),
    (Duration, "30s", timedelta(seconds=30)),
    (Duration, "5 m", timedelta(minutes=5)),
    (Duration, "1.5h", timedelta(minutes=90)),
    (Duration, "7d", timedelta(days=7)),
    (Duration, "0s", timedelta(0)),
    (Start, "earliest", "earliest"),
    (Start, "14d", timedelta(days=14)),
    (Windows, "2 windows", 2),
    (Windows, "1 window", 1),
    (Windows, 3, 3),
    (FirstWindows, "first 14 windows", FirstWindows(14, None)),
    (FirstWindows, "first 1 window", FirstWindows(1, None)),
    (FirstWindows, "first 3d", FirstWindows(None, timedelta(days=3))),
    (Share, "90%", 0.9),
    (Share, "12.5 %", 0.125),
    (Share, 0.9, 0.9),
    (Share, 1, 1.0),
    (AlarmBudget, "2 per week", AlarmBudget(2, timedelta(days=7))),
    (AlarmBudget, "0.5 per day", AlarmBudget(0.5, timedelta(days=1))),
    (Names, "a", ("a",)),
    (Names, ["a", "b"], ("a", "b")),
    (Groups, "a", (("a",),)),
    (Groups, ["a", ["b", "c"]], (("a",), ("b", "c"))),
    (Features, "features.*", "features.*"),
    (Features, ["a", "b.*"], ("a", "b.*")),
    (Servers, "kafka:9092", ("kafka:9092",)),
    (Servers, "a:1, b:2", ("a:1", "b:2")),
    (Servers, ["[::1]:9092", "a-b.c_d:65535"], ("[::1]:9092", "a-b.c_d:65535")),
    (Topics, "A.b_c-9", ("A.b_c-9",)),
    (Topics, ["t" * 249, "__x"], ("t" * 249, "__x")),
    (Listen, "127.0.0.1:0", "127.0.0.1:0"),
    (Url, "https://user:pass@h:8443/x?y", "https://user:pass@h:8443/x?y"),
    (ReferenceFile, "file:///data/a%20b.PARQUET", "file:///data/a%20b.PARQUET"),
    (ReferenceFile, "../r.csv", "../r.csv"),
    (Condition, "header:x y", "header:x y"),
    (Condition, "a.b", "a.b"),
    (Features, "*", "*"),
    (Text, 7, "7"),
    (Text, True, "true"),
]

REFUSED = [
    (Duration, "10 sec", "the units are ms, s, m, h and d"),
    (Duration, 10, "10 has no unit; write a number and a unit: 250ms, 30s, 5m, 1h or 7d"),
    (Duration, "10", "has no unit"),
    (Duration, "1:30", "is not a duration"),
    (Duration, "-1h", "is not a duration"),
    (Duration, True, "must be a duration, not true"),
    (Duration, "99999d", "longer than ten years"),
    (Duration, "0.0001ms", "not a whole number of microseconds"),
    (PositiveDuration, "0s", "longer than 0s"),
    (Start, "newest", "must be latest, earliest or how far back"),
    (Windows, "2 days", "must be a number of windows"),
    (Windows, 0, "must be 1 to 100 windows"),
    (FirstWindows, "14 windows", "must be `first N windows`"),
    (FirstWindows, "first 0s", "must be longer than 0s"),
    (FirstWindows, "first few windows", "must be a number of windows"),
    (Windows, True, "must be a number of windows"),
    (Share, 90, "90 percent is written 90%"),
    (Share, "120%", "must be between"),
    (Share, "most", "must be a share such as 90% or 0.9, not 'most'"),
    (AlarmBudget, "2 per fortnight", "`N per day`, `N per week` or `N per month`"),
    (AlarmBudget, "0 per week", "more than 0"),
    (Share, float("nan"), "must be between 0 and 1, or between 0% and 100%, not .nan"),
    (Topics, [], "must not be empty"),
    *(
        (Topics, name, "cannot be a Kafka topic's name: letters")
        for name in ("a b", "a/b", "caf\xe9", ".", "..", "t" * 250)
    ),
    *(
        (Servers, server, "must be HOST:PORT, such as kafka:9092, with a port from 1 to 65535, not")
        for server in ("k", "k:", ":9092", "k:0", "k:99999", "k:9092:1", "http://k:1", "k:one", "a:1,", "::1:9092")
    ),
    *((Listen, listen, "must be ADDRESS:PORT") for listen in ("8080", ":8080", "h:99999", "http://h:80")),
    *(
        (Url, url, "must be an address that begins with http:// or https://")
        for url in ("notaurl", "ftp://h/", "http://", "https:///path", "http://h:99999/", "http://h /", "http://[::1")
    ),
    (ReferenceFile, "s3://b/r.parquet", "s3:// is not read: copy the file to this machine and give its path"),
    (ReferenceFile, "https://h/r.csv", "https:// is not read"),
    (ReferenceFile, "file://r.csv", "must be file:///PATH, with three slashes"),
    (ReferenceFile, "/data/a.txt", "must end in .parquet or .csv, not 'a.txt'"),
    (ReferenceFile, "/data/reference", "must end in .parquet or .csv, not 'reference'"),
    *((FieldPath, path, "must be keys with single dots between them") for path in (".a", "a.", "a..b")),
    (FieldPath, 'a."b"', "a key with a quote, a backslash or a control character cannot be read"),
    (Condition, "", "must be keys with single dots between them, such as model.name, not ''"),
    (Condition, "header:", "names no header: write header:NAME"),
    (Features, [], "must be a field path"),
    *((Features, path, "a star stands alone or for the last key") for path in ("feat*", "*.a", "a.*.b", "**")),
]


@pytest.mark.parametrize(("kind", "written", "expected"), READ)
def test_read(kind: Any, written: object, expected: object) -> None:
    assert TypeAdapter(kind).validate_python(written) == expected


@pytest.mark.parametrize(("kind", "written", "message"), REFUSED)
def test_refused(kind: Any, written: object, message: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(kind).validate_python(written)
    assert message in str(refusal.value)


@given(st.integers(0, LONGEST // timedelta(milliseconds=1)))
def test_a_duration_reads_its_own_text(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(duration_text(duration)) == duration


@given(st.integers(0, 10**12))
def test_a_duration_of_microseconds_reads_its_own_text(micros: int) -> None:
    duration = timedelta(microseconds=micros)
    assert parse_duration(duration_text(duration)) == duration


@pytest.mark.parametrize(("text", "per_week"), [("2 per week", 2.0), ("1 per day", 7.0), ("3 per month", 0.7)])
def test_a_budget_in_weeks(text: str, per_week: float) -> None:
    budget = AlarmBudget.parse(text)
    assert budget.per_week == pytest.approx(per_week)
    assert AlarmBudget.parse(str(budget)) == budget


def test_a_list_of_feature_paths_is_written_out_without_a_warning() -> None:
    reference = {"uri": "reference.csv"}
    predictions = {"topic": "t", "fields": {"features": ["features.a", "features.b"]}}
    model = Model.model_validate({"predictions": predictions, "reference": reference})
    # Warnings are errors here; in a daemon each would stand in the log at every start.
    assert model.model_dump(mode="json")["predictions"]["fields"]["features"] == ["features.a", "features.b"]
