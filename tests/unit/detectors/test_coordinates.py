"""The coordinate test: quiet on ordinary windows, awake on real changes, and equal to its written formulas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from detectors.columns import infer_columns
from detectors.coordinates import Kind
from detectors.frames import encode_frame
from detectors.instants import DAY, HOUR
from detectors.noise import Noise, State
from detectors.profile import Profile
from detectors.reference import Reference, WindowLength, build_reference, window_vector
from detectors.variation import Variation, WindowVector, slot_of

DAYS = 20
PER_DAY = 300


def plain_frame(rows: int, seed: int, *, shift: float = 0.0, more: float = 0.0) -> pd.DataFrame:
    """A number, a heavy tail, a category (`more` of which become "a"), a flag, a constant and two origins."""
    random = np.random.default_rng(seed)
    kind = random.choice(["a", "b", "c", "d"], rows, p=[0.4, 0.3, 0.25, 0.05])
    kind[random.random(rows) < more] = "a"
    x = random.normal(shift, 1.0, rows)
    x[random.random(rows) < 0.02] = np.nan
    return pd.DataFrame(
        {
            "x": x,
            "tail": np.exp(2 * random.normal(size=rows)),
            "kind": pd.Series(kind, dtype=object),
            "flag": random.random(rows) < 0.2,
            "constant": 1.0,
            "origin": pd.Series(random.choice(["JFK", "LGA"], rows, p=[0.9, 0.1]), dtype=object),
        }
    )


def made(
    frame: pd.DataFrame, times: np.ndarray | None, size: int = DAY, segment_by: tuple[tuple[str, ...], ...] = ()
) -> Reference:
    """The reference of a frame."""
    columns = infer_columns(frame, roles={}, declared={}, exclude=())
    return build_reference(
        frame,
        columns,
        event_time=times,
        label=None,
        window=WindowLength(size, size),
        segment_by=segment_by,
        task="none",
    )


def spread(rows: int, length: int = DAYS * DAY) -> np.ndarray:
    """Event times evenly spread over a length of time."""
    return (np.arange(rows) * length) // rows


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Twenty days of 300 rows each, all drawn alike."""
    return made(plain_frame(DAYS * PER_DAY, 1), spread(DAYS * PER_DAY), segment_by=(("origin",),))


def profile_of(reference: Reference, frame: pd.DataFrame) -> Profile:
    """The profile of a window's rows."""
    rows, encoder = encode_frame(frame.reset_index(drop=True), reference.layout, None)
    return Profile.of(reference.layout, rows, encoder)


TESTED = ("x", "tail", "kind", "flag", "origin")


def test_windows_of_chance_are_quiet(reference: Reference) -> None:
    """Given windows drawn like the reference, When they are tested at 1 %, Then hardly a column is flagged."""
    noise = Noise.of(reference)
    p_values = []
    for seed in range(120):
        tested = noise.test(profile_of(reference, plain_frame(60 + 3 * seed, 1_000 + seed)), 0)
        p_values += [tested.drift(name).p_value for name in TESTED]  # type: ignore[union-attr]
    assert np.mean(np.array(p_values) <= 0.01) <= 0.012
    assert np.mean(np.array(p_values) <= 0.1) <= 0.1


def test_changes_that_matter_are_found(reference: Reference) -> None:
    """Given +0.5 sigma, or 15 points of one category, When a window is tested, Then it is found."""
    noise = Noise.of(reference)
    for seed in range(10):
        shifted = noise.test(profile_of(reference, plain_frame(PER_DAY, seed, shift=0.5)), 0).drift("x")
        assert shifted is not None
        assert shifted.p_value < 1e-4
        assert "x" in shifted.driver
        assert shifted.usual == pytest.approx(0.0, abs=0.1)
        assert shifted.current == pytest.approx(0.5, abs=0.2)
        moved = noise.test(profile_of(reference, plain_frame(3 * PER_DAY, seed, more=0.25)), 0).drift("kind")
        assert moved is not None
        assert moved.p_value < 0.001


def test_the_driver_says_what_moved(reference: Reference) -> None:
    frame = plain_frame(2_000, 5, more=0.4)
    frame["tail"] *= 30
    frame.loc[:600, "x"] = np.nan
    tested = Noise.of(reference).test(profile_of(reference, frame), 0)
    drivers = {name: tested.drift(name).driver for name in ("kind", "tail")}  # type: ignore[union-attr]
    assert drivers["kind"].startswith("kind = a: 4")
    assert "tail" in drivers["tail"]
    missing = tested.share("x", Kind.MISSING)
    assert missing is not None
    assert missing.p_value < 1e-9
    assert missing.driver.startswith("x missing: 2 → 3")


def test_a_constant_column_is_tested_by_what_differs(reference: Reference) -> None:
    noise = Noise.of(reference)
    same = noise.test(profile_of(reference, plain_frame(100, 1)), 0)
    frame = plain_frame(100, 1)
    frame.loc[:3, "constant"] = 2.0
    other = noise.test(profile_of(reference, frame), 0)
    for tested, p_value, share in ((same, 1.0, 0.0), (other, 0.0, 0.04)):
        result = tested.drift("constant")
        assert result is not None
        assert (result.p_value, result.current, tested.distance("constant")) == (
            pytest.approx(p_value, abs=1e-6),
            pytest.approx(share),
            pytest.approx(share),
        )
    assert other.drift("constant").driver == "constant is not 1: 0 → 4 %"  # type: ignore[union-attr]


def test_unseen_values_are_counted_against_the_usual_ones(reference: Reference) -> None:
    noise = Noise.of(reference)
    frame = plain_frame(PER_DAY, 2)
    assert noise.test(profile_of(reference, frame), 0).unseen("kind").p_value == 1.0
    frame.loc[:9, "kind"] = "new"
    result = noise.test(profile_of(reference, frame), 0).unseen("kind")
    assert result.p_value < 1e-6
    assert result.current == pytest.approx(10 / PER_DAY)
    assert "(new)" in result.driver


def test_a_segment_is_held_against_its_own_mean() -> None:
    """Given a segment that is unlike the model, When its window is ordinary for it, Then it is quiet."""
    frame = plain_frame(DAYS * PER_DAY, 1)
    frame.loc[frame["origin"] == "LGA", "x"] += 3.0
    reference = made(frame, spread(len(frame)), segment_by=(("origin",),))
    noise = Noise.of(reference)
    lga = reference.layout.segmentations[0].values.index(("LGA",))
    ordinary = plain_frame(2_000, 3)
    ordinary.loc[ordinary["origin"] == "LGA", "x"] += 3.0
    changed = plain_frame(2_000, 4)
    quiet = noise.test(profile_of(reference, ordinary), 0).drift("x", (0, lga))
    loud = noise.test(profile_of(reference, changed), 0).drift("x", (0, lga))
    assert quiet is not None
    assert quiet.p_value > 0.01
    assert loud is not None
    assert loud.p_value < 1e-6
    assert "x lower" in loud.driver or "x <" in loud.driver or "x ≥" in loud.driver


def test_a_segment_without_rows_has_no_test(reference: Reference) -> None:
    frame = plain_frame(100, 1).assign(origin="JFK")
    tested = Noise.of(reference).test(profile_of(reference, frame), 0)
    lga = reference.layout.segmentations[0].values.index(("LGA",))
    assert tested.drift("x", (0, lga)) is None
    assert tested.share("x", Kind.MISSING, (0, lga)) is None


def test_a_column_without_a_value_has_no_test(reference: Reference) -> None:
    frame = plain_frame(100, 1).assign(x=np.nan)
    tested = Noise.of(reference).test(profile_of(reference, frame), 0)
    assert tested.drift("x") is None
    assert math.isnan(tested.distance("x"))


def window_vectors(y: np.ndarray, n: np.ndarray, size: int = DAY) -> list[WindowVector]:
    """Windows of the given coordinates, one row each."""
    nothing = np.zeros(1)
    return [
        WindowVector(w * size, (w + 1) * size, 1, y[w], n[w].astype(np.float64), nothing, nothing)
        for w in range(len(y))
    ]


def test_the_variation_is_what_the_formulas_say() -> None:
    """Every formula of the method again, one number at a time."""
    m, beta = 15, 0.25
    random = np.random.default_rng(4)
    y = random.normal(1.0, 0.05, (m, 3))
    n = random.integers(100, 200, (m, 3))
    variation = Variation.of(window_vectors(y, n), np.full(3, beta), [slice(0, 3)], DAY)
    excess, nus, rhos, chances = [], [], [], []
    for c in range(3):
        residual = [y[w, c] - np.mean([y[i, c] for i in range(m) if abs(i - w) > m / 4]) for w in range(m)]
        variance = np.mean(np.square(residual)) / (1 + 1 / m)
        chance = beta * np.mean([1 / n[w, c] for w in range(m)])
        rho = sum(a * b for a, b in zip(residual[1:], residual[:-1], strict=True)) / sum(r * r for r in residual)
        rho = min(0.9, max(0.0, rho))
        rhos.append(rho)
        nus.append(max(2.0, (m - 1) * (1 - rho) / (1 + rho)))
        excess.append(variance / chance)
        chances.append(chance)
    pooled = [(10 * np.mean(excess) + nu * e) / (10 + nu) for e, nu in zip(excess, nus, strict=True)]
    tau2 = [max(0.0, (e - 1) * b) for e, b in zip(pooled, chances, strict=True)]
    assert variation.mean == pytest.approx(y.mean(axis=0))
    assert variation.rho == pytest.approx(rhos)
    assert variation.nu == pytest.approx(nus)
    assert variation.tau2 == pytest.approx(tau2)


def test_t_and_p_are_what_the_formulas_say(reference: Reference) -> None:
    noise = Noise.of(reference)
    frame = plain_frame(250, 7, more=0.1)
    result = noise.test(profile_of(reference, frame), 0).drift("kind")
    assert result is not None
    group = reference.coordinates.tests["kind"]
    variation = noise.variation
    shares = []
    for place in range(group.start, group.stop):
        coordinate = reference.coordinates.items[place]
        column = reference.layout.column("kind")
        count = 0 if coordinate.kind is Kind.REST else (frame["kind"] == column.vocabulary[coordinate.index]).sum()  # type: ignore[union-attr]
        y = math.asin(math.sqrt((count + 0.375) / (250 + 0.75)))
        # The mean as the same share is in 250 rows instead of 300.
        share = (math.sin(variation.mean[place]) ** 2 * (300 + 0.75) - 0.375) / 300
        mean = math.asin(math.sqrt((share * 250 + 0.375) / (250 + 0.75)))
        error = variation.tau2[place] / (variation.nu[place] + 1) + 0.25 / 300 / DAYS
        t = (y - mean) / math.sqrt(variation.tau2[place] + 0.25 / 250 + error)
        shares.append((2 * stats.t.sf(abs(t), variation.nu[place] + 10), t))
    assert len(shares) == 4
    assert result.p_value == pytest.approx(min(1.0, 4 * min(p for p, _ in shares)))
    assert abs(result.t) == pytest.approx(max(abs(t) for _, t in shares))


def test_windows_shorter_than_a_day_are_held_against_their_slot() -> None:
    """Given nights unlike days, When a night looks like a night, Then it is quiet, and like a day, loud."""
    rows = DAYS * 1_200
    times = spread(rows)
    frame = plain_frame(rows, 11)
    frame["x"] += np.where(times % DAY < 6 * HOUR, 2.0, 0.0)
    reference = made(frame, times, size=6 * HOUR)
    assert reference.variation.m == 4 * DAYS
    noise = Noise.of(reference)
    night, day = plain_frame(300, 12, shift=2.0), plain_frame(300, 13)
    results = {
        (name, start): noise.test(profile_of(reference, window), start).drift("x").p_value  # type: ignore[union-attr]
        for name, window in (("night", night), ("day", day))
        for start in (100 * DAY, 100 * DAY + 12 * HOUR)
    }
    assert results["night", 100 * DAY] > 0.01
    assert results["day", 100 * DAY] < 1e-6
    assert results["day", 100 * DAY + 12 * HOUR] > 0.01
    assert results["night", 100 * DAY + 12 * HOUR] < 1e-6
    # Half way between two slots both count.
    between = noise.variation.expected(100 * DAY + 3 * HOUR)
    assert between == pytest.approx((noise.variation.slots[0] + noise.variation.slots[1]) / 2)


@pytest.mark.parametrize(
    ("start", "size", "slot"),
    [(0, DAY, 0), (5 * DAY + 6 * HOUR, 6 * HOUR, 1), (23 * HOUR, 6 * HOUR, 0), (7 * HOUR, 5 * HOUR, 1)],
)
def test_a_window_belongs_to_the_nearest_slot(start: int, size: int, slot: int) -> None:
    assert slot_of(start, size) == slot


def test_without_event_times_a_verdict_is_uncalibrated_until_live_windows_come() -> None:
    reference = made(plain_frame(DAYS * PER_DAY, 1), None)
    noise = Noise.of(reference)
    assert noise.state is State.UNCALIBRATED
    assert reference.usual_rows is None
    assert noise.floor("x") is None
    p_values = []
    for seed in range(40):
        tested = noise.test(profile_of(reference, plain_frame(PER_DAY, seed)), 0)
        p_values += [tested.drift(name).p_value for name in TESTED]  # type: ignore[union-attr]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.08
    shifted = noise.test(profile_of(reference, plain_frame(PER_DAY, 3, shift=0.5, more=0.25)), 0)
    for name in ("x", "kind"):
        result = shifted.drift(name)
        assert result is not None
        assert result.p_value < 0.001

    live = [
        window_vector(profile_of(reference, plain_frame(PER_DAY, 50 + day)), reference, day * DAY, (day + 1) * DAY)
        for day in range(30)
    ]
    assert Noise.of(reference, live[:1]).state is State.CALIBRATING
    assert Noise.of(reference, live[:13]).state is State.CALIBRATING
    assert Noise.of(reference, live[:14]).state is State.CALIBRATED
    learned = Noise.of(reference, live)
    assert learned.m == 28
    result = learned.test(profile_of(reference, plain_frame(PER_DAY, 3, shift=0.5)), 0).drift("x")
    assert result is not None
    assert result.p_value < 1e-4
    assert learned.floor("x") is not None


def test_live_windows_join_a_short_reference_up_to_28() -> None:
    reference = made(plain_frame(5 * PER_DAY, 1), spread(5 * PER_DAY, 5 * DAY))
    noise = Noise.of(reference)
    assert (noise.m, noise.state) == (5, State.CALIBRATING)
    live = [
        WindowVector.from_bytes(
            window_vector(
                profile_of(reference, plain_frame(PER_DAY, 50 + day)), reference, day * DAY, (day + 1) * DAY
            ).to_bytes()
        )
        for day in range(30)
    ]
    assert Noise.of(reference, live[:9]).m == 14
    assert Noise.of(reference, live).m == 28


def test_half_of_a_numbers_level_is_for_its_mean_rank(reference: Reference) -> None:
    coordinates = reference.coordinates
    for name, group in coordinates.tests.items():
        kinds = [item.kind for item in coordinates.items[group]]
        parts = coordinates.parts[group]
        assert parts.sum() == pytest.approx(1.0), name
        if Kind.RANK_MEAN in kinds:
            assert parts[kinds.index(Kind.RANK_MEAN)] == 0.5
    assert coordinates.tests["flag"].stop - coordinates.tests["flag"].start == 1  # false is all that is not true


def of_window(frame: pd.DataFrame, reference: Reference) -> float:
    """The p-value of the column `x`."""
    result = Noise.of(reference).test(profile_of(reference, frame), 0).drift("x")
    assert result is not None
    assert result.driver
    return result.p_value


def test_one_rare_value_in_few_rows_is_no_news() -> None:
    """Given one value in a thousand that is not 0, When one of thirty rows is such a value, Then nothing is unusual."""
    random = np.random.default_rng(0)
    x = np.where(random.random(20_000) < 0.001, random.lognormal(size=20_000), 0.0)
    reference = made(pd.DataFrame({"x": x}), spread(20_000))
    assert of_window(pd.DataFrame({"x": [0.0] * 29 + [1.0]}), reference) > 0.02
    assert of_window(pd.DataFrame({"x": [0.0] * 30}), reference) > 0.02
    assert of_window(pd.DataFrame({"x": [0.0] * 20 + [1.0] * 10}), reference) < 1e-3


def test_one_other_value_in_few_rows_is_no_news_for_a_constant() -> None:
    reference = made(pd.DataFrame({"x": np.zeros(600)}), spread(600))
    assert of_window(pd.DataFrame({"x": [0.0] * 29 + [1.0]}), reference) > 0.02
    assert of_window(pd.DataFrame({"x": [0.0] * 20 + [1.0] * 10}), reference) < 1e-6


def test_large_windows_against_a_reference_of_small_ones() -> None:
    """Given windows of 300 rows, When the live ones have 20,000, Then neither the mean's error nor the transform
    of a share of nothing makes a difference of them.
    """
    random = np.random.default_rng(1)

    def rows(count: int, distinct: int) -> pd.DataFrame:
        return pd.DataFrame({"x": np.array([f"v{i}" for i in random.integers(0, distinct, count)], dtype=object)})

    for distinct in (2, 100, 500):
        reference = made(rows(DAYS * PER_DAY, distinct), spread(DAYS * PER_DAY))
        assert np.mean([of_window(rows(20_000, distinct), reference) <= 0.02 for _ in range(20)]) <= 0.05, distinct


def test_what_moves_among_rare_categories_is_found_and_named() -> None:
    """Given 500 categories of 0.2 % each, When one of them has 8 %, Then it is found, in a segment too."""
    random = np.random.default_rng(2)

    def rows(count: int) -> pd.DataFrame:
        texts = np.array([f"v{i}" for i in random.integers(0, 500, count)], dtype=object)
        return pd.DataFrame({"x": texts, "s": random.choice(["left", "right"], count).astype(object)})

    reference = made(rows(DAYS * 1_000), spread(DAYS * 1_000), segment_by=(("s",),))
    changed = rows(2_000)
    changed.loc[random.random(2_000) < 0.08, "x"] = "v7"
    tested = Noise.of(reference).test(profile_of(reference, changed), 0)
    for segment in (None, (0, 0)):
        result = tested.drift("x", segment)
        assert result is not None
        assert result.p_value < 1e-3
        assert result.driver.startswith("x = v7: 0 → ") or segment is not None
        assert result.current > result.usual
