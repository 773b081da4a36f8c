"""A reference is read once, kept whole, versioned by its content, and refused in words when it cannot be used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from detectors.columns import ColumnType, Role, infer_columns
from detectors.errors import CorruptBlob, EmptyReference, MissingColumn, UnusableColumn, UnusableEventTime
from detectors.frames import STORED_ROWS, encode_frame, event_times
from detectors.instants import DAY, HOUR
from detectors.noise import Noise, State
from detectors.own_windows import window_numbers
from detectors.profile import Profile
from detectors.reference import Reference, WindowLength, build_reference
from tests.unit.detectors.columnar import mixed_frame
from tests.unit.detectors.flights import flights

WEEK = WindowLength(DAY, DAY)


def made(frame: pd.DataFrame, times: np.ndarray | None, **options: object) -> Reference:
    """The reference of a frame; `label` is left out of its columns."""
    given: dict[str, object] = {"label": None, "window": WEEK, "segment_by": (), "task": "none"} | options
    exclude = () if given["label"] is None else (str(given["label"]),)
    roles = {name: Role(name) for name in ("prediction", "score") if name in frame.columns}
    columns = infer_columns(frame, roles=roles, declared={}, exclude=exclude)
    return build_reference(frame, columns, event_time=times, **given)  # type: ignore[arg-type]


def spread(rows: int, days: int) -> np.ndarray:
    """Event times evenly spread over days."""
    return (np.arange(rows) * days * DAY) // rows


def labelled(rows: int, seed: int = 0) -> pd.DataFrame:
    """Rows with a prediction and the truth that it is three off on average."""
    frame = mixed_frame(rows, seed)
    random = np.random.default_rng(seed)
    frame["prediction"] = random.normal(10, 3, rows)
    frame["truth"] = frame["prediction"] + random.normal(0, 3, rows)
    return frame


def test_a_reference_survives_its_bytes() -> None:
    frame = labelled(3_000)
    reference = made(frame, spread(3_000, 15), label="truth", segment_by=[("kind",)], task="regression")
    again = Reference.from_bytes(reference.to_bytes())
    assert again.to_bytes() == reference.to_bytes()
    assert (again.hash, again.rows, again.columns) == (reference.hash, 3_000, reference.columns)
    assert again.quality == reference.quality
    assert again.usual_rows == reference.usual_rows
    assert again.layout.hash == reference.layout.hash
    assert len(again.windows) == again.variation.m == len(again.window_profiles) == 15
    assert np.array_equal(again.variation.tau2, reference.variation.tau2)
    stored = again.sample
    assert len(stored) == 3_000
    assert stored["_label"].to_numpy() == pytest.approx(frame["truth"].to_numpy())
    assert stored["_event_time"].tolist() == spread(3_000, 15).tolist()
    assert np.array_equal(np.sort(stored["normal"]), np.sort(frame["normal"]), equal_nan=True)
    assert set(stored["flag"]) == {"true", "false"}
    assert stored["kind"].isna().sum() == frame["kind"].isna().sum()


def test_equal_rows_make_an_equal_hash_and_another_row_another() -> None:
    frame, times = mixed_frame(500), spread(500, 15)
    order = np.random.default_rng(0).permutation(500)
    reference = made(frame, times)
    assert made(frame.iloc[order], times[order]).hash == reference.hash
    assert made(frame.iloc[:-1], times[:-1]).hash != reference.hash
    assert made(frame, None).hash != reference.hash
    assert made(frame, times, window=WindowLength(DAY, HOUR)).hash != reference.hash


def test_the_frame_is_not_changed() -> None:
    frame = labelled(300)
    before = frame.copy(deep=True)
    made(frame, spread(300, 15)[::-1].copy(), label="truth", task="regression")
    pd.testing.assert_frame_equal(frame, before)


def test_of_many_rows_some_are_stored() -> None:
    frame = mixed_frame(STORED_ROWS + 1_000)
    reference = made(frame, None)
    assert (len(reference.sample), reference.rows) == (STORED_ROWS, STORED_ROWS + 1_000)
    # As good as drawn by chance.
    assert reference.sample["normal"].mean() == pytest.approx(frame["normal"].mean(), abs=0.02)


def test_equal_rows_are_not_stored_or_left_out_together() -> None:
    frame = pd.DataFrame({"flag": np.arange(2 * STORED_ROWS) % 4 == 0})
    assert made(frame, None).sample["flag"].eq("true").mean() == pytest.approx(0.25, abs=0.02)


def test_windows_that_the_reference_covers_in_part_are_left_out() -> None:
    hours = np.arange(20, 20 + 24 * 5) * HOUR  # from 20:00 of day 0 to 19:00 of day 5
    number = window_numbers(hours, DAY)
    assert np.unique(number).tolist() == [-1, 0, 1, 2, 3]
    assert np.count_nonzero(number == -1) == 4 + 20


def test_a_quiet_night_does_not_cut_off_the_first_and_the_last_day() -> None:
    times = np.concatenate([day * DAY + np.arange(6, 23) * HOUR for day in range(5)])
    assert np.unique(window_numbers(times, DAY)).tolist() == [0, 1, 2, 3, 4]


def test_a_reference_shorter_than_a_window_has_none() -> None:
    reference = made(mixed_frame(100), spread(100, 1) // 2)
    assert reference.variation.m == 0
    assert Noise.of(reference).state is State.UNCALIBRATED


def test_the_usual_rows_go_by_slot_and_by_hour_of_the_week() -> None:
    days = 15
    busy = np.concatenate([day * DAY + 12 * HOUR + np.arange(90) * (6 * HOUR // 90) for day in range(days)])
    calm = np.concatenate(
        [day * DAY + slot * HOUR + np.arange(10) * (6 * HOUR // 10) for day in range(days) for slot in (0, 6, 18)]
    )
    times = np.sort(np.concatenate([busy, calm]))
    reference = made(mixed_frame(len(times)), times, window=WindowLength(6 * HOUR, 6 * HOUR))
    assert reference.usual_rows is not None
    for start, rows in ((0, 10), (12 * HOUR, 90)):
        usual = reference.usual_rows.at(100 * DAY + start)
        assert usual is not None
        assert usual.mean == pytest.approx(rows)
        assert usual.p_value(rows) > 0.5
        assert usual.p_value(6 * rows) < 0.01
    assert len(reference.usual_rows.hours) == 168
    assert sum(reference.usual_rows.hours_seen) == days * 24 - 2


def test_a_column_that_keeps_bringing_new_values_is_id_like() -> None:
    frame = mixed_frame(3_000)
    frame["tail"] = [f"n{i // 8}" for i in range(3_000)]
    reference = made(frame, spread(3_000, 15))
    (column,) = [column for column in reference.columns if column.name == "tail"]
    assert column.id_like
    assert "not seen before" in column.reason
    assert reference.layout.column("tail").id_like
    assert "tail" not in reference.sample.columns


def test_the_unseen_rate_leaves_one_window_out() -> None:
    frame = mixed_frame(3_000)
    frame.loc[[5, 6, 1_000], "kind"] = ["only here", "only here", "and here"]
    assert made(frame, spread(3_000, 15)).unseen_rates["kind"] == pytest.approx(3 / frame["kind"].notna().sum())


def test_a_classifier_s_zeros_and_ones_are_classes() -> None:
    frame = mixed_frame(300).assign(prediction=np.arange(300) % 2)
    assert made(frame, None, task="binary_classification").layout.column("prediction").type is ColumnType.CATEGORICAL
    assert made(frame, None, task="regression").layout.column("prediction").type is ColumnType.NUMERIC


def test_the_usual_quality_comes_from_the_label() -> None:
    reference = made(labelled(3_000), spread(3_000, 15), label="truth", task="regression")
    assert reference.quality["mae"].value == pytest.approx(3 * np.sqrt(2 / np.pi), rel=0.05)
    assert len(reference.quality["mae"].windows) == 15


def test_the_noise_floor_of_any_method_comes_from_the_own_windows() -> None:
    reference = made(mixed_frame(3_000), spread(3_000, 15))
    calls: list[Profile] = []

    def measure(profile: Profile) -> float:
        calls.append(profile)
        return profile.mean("normal")

    floor = reference.noise_floor("mean", "normal", measure)
    assert floor == pytest.approx(np.quantile([p.mean("normal") for p in reference.window_profiles], 0.95))
    assert reference.noise_floor("mean", "normal", measure) == floor
    assert len(calls) == 15
    assert made(mixed_frame(300), None).noise_floor("mean", "normal", measure) is None


def test_event_times_are_read_from_times_and_text() -> None:
    moments = pd.to_datetime(["2013-01-01T00:00:00", "2013-01-01T00:00:01.5"], format="ISO8601")
    expected = [1_356_998_400_000_000, 1_356_998_401_500_000]
    for series in (
        pd.Series(moments),
        pd.Series(moments.tz_localize("UTC")),
        pd.Series(moments.tz_localize("UTC").tz_convert("Asia/Seoul")),
        pd.Series(["2013-01-01T00:00:00Z", "2013-01-01T01:00:01.5+01:00"]),
    ):
        assert event_times(pd.DataFrame({"ts": series}), "ts").tolist() == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([pd.Timestamp("2013-01-01"), None], "missing in row 1"),
        ([1_356_998_400, 1_356_998_401], "seconds or milliseconds"),
        (["2013-01-01T00:00:00Z", "soon"], "row 1.*'soon'"),
    ],
)
def test_event_times_that_cannot_be_read_are_refused(values: list[object], words: str) -> None:
    with pytest.raises(UnusableEventTime, match=words):
        event_times(pd.DataFrame({"ts": values}), "ts")


def test_what_a_reference_must_have_is_asked_for_in_words() -> None:
    frame = labelled(100)
    columns = infer_columns(frame, roles={}, declared={}, exclude=["truth"])
    given = {"window": WEEK, "segment_by": (), "task": "regression"}
    with pytest.raises(EmptyReference, match="no rows"):
        build_reference(frame.iloc[:0], columns, event_time=None, label=None, **given)  # type: ignore[arg-type]
    with pytest.raises(MissingColumn, match="'gone' for event times"):
        event_times(frame, "gone")
    with pytest.raises(MissingColumn, match=r"'gone' for the label.*reference\.fields\.label"):
        build_reference(frame, columns, event_time=None, label="gone", **given)  # type: ignore[arg-type]
    with pytest.raises(UnusableColumn, match="missing in every row"):
        build_reference(frame.assign(truth=np.nan), columns, event_time=None, label="truth", **given)  # type: ignore[arg-type]
    with pytest.raises(MissingColumn, match="no column 'heavy'"):
        build_reference(frame.drop(columns="heavy"), columns, event_time=None, label=None, **given)  # type: ignore[arg-type]
    with pytest.raises(UnusableColumn, match="every one is excluded"):
        build_reference(frame, [], event_time=None, label=None, **given)  # type: ignore[arg-type]
    with pytest.raises(CorruptBlob):
        Reference.from_bytes(b"R\x01abc")


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_tiny_reference_is_used_all_the_same(rows: int) -> None:
    reference = made(mixed_frame(rows, 3), np.arange(rows) * DAY)
    tested = Noise.of(reference).test(reference.profile, 0)
    for column in reference.columns:
        result = tested.drift(column.name)
        assert result is None or 0.0 <= result.p_value <= 1.0


def test_daily_windows_of_real_flights_are_mostly_quiet_and_a_wrong_unit_is_not() -> None:
    """Given six weeks of flights, When the next two are tested, Then few columns are flagged, and seconds are."""
    frame = flights()
    frame = frame[(frame["month"] <= 2) & frame["dep_delay"].notna()]
    day = (frame["month"] - 1) * 31 + frame["day"] - 1
    times = (day * DAY + frame["hour"] * HOUR + frame["minute"] * (HOUR // 60)).to_numpy()
    order = np.argsort(times, kind="stable")
    names = ["dep_delay", "air_time", "distance", "carrier", "origin", "dest"]
    frame, times = frame.iloc[order][names].reset_index(drop=True), times[order]
    early = times < 45 * DAY
    reference = made(frame[early], times[early], segment_by=[("origin",)])
    noise = Noise.of(reference)
    assert noise.state is State.CALIBRATED
    assert noise.m == 45
    flagged = []
    for number in range(45, 59):
        window = frame[(times >= number * DAY) & (times < (number + 1) * DAY)].reset_index(drop=True)
        rows, encoder = encode_frame(window, reference.layout, None)
        tested = noise.test(Profile.of(reference.layout, rows, encoder), number * DAY)
        flagged += [tested.drift(name).p_value <= 0.01 for name in names]  # type: ignore[union-attr]
        rows, encoder = encode_frame(window.assign(dep_delay=window["dep_delay"] * 60), reference.layout, None)
        loud = noise.test(Profile.of(reference.layout, rows, encoder), number * DAY).drift("dep_delay")
        assert loud is not None
        assert loud.p_value < 1e-5
    assert np.mean(flagged) < 0.05
