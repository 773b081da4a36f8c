"""What docs/signals.md promises is what the judgements go by."""

from __future__ import annotations

import re

from daemon.incidents.incident import FAMILIES, Family
from daemon.schedule.lag import LAG_LIMIT, STALL_LIMIT
from daemon.schedule.retries import RETRY_AFTER
from daemon.schedule.silence import SHORTEST_SILENCE, UNKNOWN_SILENCE, labels_missing
from deploy.kafka.local import CHECKOUT
from detectors.findings import FIRING
from detectors.instants import DAY, MINUTE

TEXT = (CHECKOUT / "docs" / "signals.md").read_text()


def test_every_signal_of_the_data_has_a_row_with_its_limit() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    named = {match[1] for row in rows if (match := re.match(r"\| `([a-z_]+)`", row))}
    assert named == {signal.value for signal, family in FAMILIES.items() if family is Family.DATA}
    limits = {"stalled": STALL_LIMIT, "lagging": LAG_LIMIT, "no_predictions": SHORTEST_SILENCE}
    for signal, limit in limits.items():
        assert any(f"{limit // MINUTE} minutes" in row for row in rows if row.startswith(f"| `{signal}`"))
    assert UNKNOWN_SILENCE == DAY


def test_the_limit_of_missing_labels_is_half_of_the_coverage() -> None:
    assert "with 90 %, less than 45 %" in TEXT
    assert [labels_missing(1000, joined, 0.9).verdict in FIRING for joined in (449, 450)] == [True, False]


def test_the_tries_after_a_failure_are_those_that_are_written() -> None:
    assert "after {}, {} and {} minutes".format(*(length // MINUTE for length in RETRY_AFTER)) in TEXT
