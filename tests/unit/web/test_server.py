"""The routes over a real port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Gauge

from daemon.web.app import build
from daemon.web.health import Beat, Health, overdue
from daemon.web.server import PortTaken, WebServer
from detectors.instants import SECOND


@contextmanager
def serving(alive: list[str], ready: list[str]) -> Iterator[WebServer]:
    registry = CollectorRegistry()
    Gauge("driftd_test", "A value.", registry=registry).set(7)
    server = WebServer(build(Health(lambda: alive, lambda: ready), registry), "127.0.0.1:0")
    server.start()
    try:
        yield server
    finally:
        server.close()


def get(server: WebServer, path: str) -> tuple[int, str, str]:
    try:
        with urlopen(f"http://{server.address}{path}", timeout=10) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read().decode()


def test_all_is_well() -> None:
    with serving([], []) as server:
        for path in ("/healthz", "/readyz"):
            code, _, body = get(server, path)
            assert (code, json.loads(body)) == (200, {"status": "fine", "problems": []})


def test_what_is_wrong_is_said_in_sentences() -> None:
    with serving(["the poll loop has not turned for 90 s"], ["Kafka has not been polled yet"]) as server:
        code, _, body = get(server, "/healthz")
        assert (code, json.loads(body)["problems"]) == (503, ["the poll loop has not turned for 90 s"])
        code, _, body = get(server, "/readyz")
        assert (code, json.loads(body)["problems"]) == (503, ["Kafka has not been polled yet"])


def test_metrics_are_prometheus_text() -> None:
    with serving([], []) as server:
        code, kind, body = get(server, "/metrics")
        assert code == 200
        assert kind.startswith("text/plain")
        assert "driftd_test 7.0" in body


def test_nothing_else_is_there() -> None:
    with serving([], []) as server:
        assert get(server, "/schema")[0] == 404


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with (
        serving([], []) as server,
        pytest.raises(PortTaken, match=r"cannot listen on 127\.0\.0\.1:\d+ \(http.listen\)"),
    ):
        WebServer(build(Health(list, list), CollectorRegistry()), server.address)


def test_a_loop_is_overdue_only_past_its_bound() -> None:
    beats = {"intake": Beat(10 * SECOND, 60 * SECOND)}
    assert overdue(beats, 70 * SECOND) == []
    assert overdue(beats, 71 * SECOND) == ["intake has not turned for 61 s; its bound is 60 s"]
