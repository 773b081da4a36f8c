"""The routes: /healthz, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Callable

from litestar import Litestar, Response, get
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from daemon.web.health import Health


def build(health: Health, registry: CollectorRegistry) -> Litestar:
    """The application; it only ever reads."""

    # Each handler reads the store or takes a lock: in a thread, so that a slow disk does not hold up the others.
    @get("/healthz", sync_to_thread=True)
    def healthz() -> Response[dict[str, object]]:
        """The loops have turned within their bounds."""
        return _judged(health.alive)

    @get("/readyz", sync_to_thread=True)
    def readyz() -> Response[dict[str, object]]:
        """The store is open, Kafka has been polled, the configuration is valid."""
        return _judged(health.ready)

    @get("/metrics", sync_to_thread=True)
    def metrics() -> Response[bytes]:
        """Everything that docs/metrics.md lists, in Prometheus' text format."""
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return Litestar([healthz, readyz, metrics], openapi_config=None, logging_config=None)


def _judged(question: Callable[[], list[str]]) -> Response[dict[str, object]]:
    problems = question()
    body: dict[str, object] = {"status": "fine" if not problems else "trouble", "problems": problems}
    return Response(body, status_code=503 if problems else 200)
