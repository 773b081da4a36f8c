"""What receivers are told of an incident's cause, besides the words of the snapshots."""

from __future__ import annotations

import msgspec

from daemon.deliver.causes import before, likely
from daemon.deliver.receivers.webhook import document
from daemon.incidents.cause import CauseKind
from daemon.incidents.incident import Incident
from tests.unit.deliver.gallery import incidents, view

INCIDENTS = incidents()


def test_a_webhook_gets_every_candidate_and_where_it_shows() -> None:
    told = document(view(INCIDENTS["cause_column"]), "opened", "key")
    assert [cause["kind"] for cause in told["causes"]] == ["column", "late_rows"]
    assert told["causes"][0]["column"] == "dep_delay"
    assert told["where"] == "all 2 of origin, most in LGA"
    assert "Likely cause: dep_delay > 60: 4 → 38 %. Just before: 61 rows of a window came late" in told["text"]


def test_an_incident_of_an_older_driftd_has_no_candidates_and_keeps_its_features_as_its_cause() -> None:
    incident = INCIDENTS["prediction_drift"]
    assert b"causes" not in incident.to_bytes()
    assert Incident.from_bytes(incident.to_bytes()) == incident
    told = document(view(incident), "opened", "key")
    assert (told["causes"], told["where"]) == ([], None)
    assert "Likely cause: dep_delay > 60: 4 → 38 %." in told["text"]
    assert before(incident) == ""


def test_what_is_too_weak_to_be_called_likely_is_named_all_the_same() -> None:
    incident = INCIDENTS["cause_version"]
    assert incident.causes is not None
    (version,) = (cause for cause in incident.causes if cause.kind is CauseKind.VERSION)
    weak = msgspec.structs.replace(incident, causes=(msgspec.structs.replace(version, score=0.08),))
    assert likely(weak) == ""
    assert before(weak) == "Just before: version 7 is new, since 8 Feb 11:00; no schema change"
