"""Typed, frozen settings: what a configuration file means once it is read and merged."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from daemon.config.quantities import AlarmBudget, Duration, Share, Windows


class Frozen(BaseModel):
    """Base of every settings class: an unknown key is an error, a value never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sasl(Frozen):
    """How the daemon proves itself to Kafka; the password comes from `password` or `password_file`."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    username: str
    password: SecretStr


class Ssl(Frozen):
    """The certificates for a Kafka that speaks TLS."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    check_hostname: bool = True


class Kafka(Frozen):
    """Where the prediction logs are. One bootstrap server may be written as a plain string."""

    bootstrap_servers: tuple[str, ...]
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl: Sasl | None = None
    ssl: Ssl | None = None


class Retention(Frozen):
    """How long each kind of state is kept; predictions and labels go when their windows are final."""

    results: Duration = timedelta(days=400)
    profiles: Duration = timedelta(days=90)
    samples: Duration = timedelta(days=14)


class StoreSettings(Frozen):
    """The embedded store and how often the buffer is written to it."""

    path: Path = Path("driftd.db")
    checkpoint: Duration = timedelta(seconds=10)
    retention: Retention = Retention()


class Http(Frozen):
    """The port for /healthz, /readyz and /metrics; `external_url` is how people reach it."""

    listen: str = "127.0.0.1:8080"
    external_url: str | None = None


class Slack(Frozen):
    """The bot that posts; `api_url` is Slack's own unless a proxy or a government cloud stands in between."""

    bot_token: SecretStr
    api_url: str = "https://slack.com/api/"


class WebhookReceiver(Frozen):
    """A URL that gets each incident's changes as JSON."""

    type: Literal["webhook"]
    url: SecretStr
    timeout: Duration = timedelta(seconds=10)


class SlackReceiver(Frozen):
    """A Slack channel that is told besides the model's own."""

    type: Literal["slack"]
    channel: str
    mention: str | None = None


Receiver = Annotated[WebhookReceiver | SlackReceiver, Field(discriminator="type")]


class FalseAlarms(Frozen):
    """The budget of the whole installation, such as `2 per week`."""

    at_most: AlarmBudget = AlarmBudget(count=2, period=timedelta(days=7))


class Window(Frozen):
    """The windows that a model is judged in."""

    size: Duration = timedelta(days=1)
    every: Duration = timedelta(hours=6)
    watermark_delay: Duration = timedelta(minutes=10)
    allowed_lateness: Duration | None = None
    """None: one window size."""
    min_rows: int = Field(default=200, ge=1)


class PredictionFields(Frozen):
    """Dotted paths of what a prediction message holds."""

    id: str = "id"
    timestamp: str | None = "ts"
    """None: Kafka's record timestamp."""
    version: str | None = "model_version"
    prediction: str | None = "prediction"
    score: str | None = None
    features: str | tuple[str, ...] = "features.*"
    item: str | None = None


class LabelFields(Frozen):
    """Dotted paths of what a label message holds."""

    id: str = "id"
    timestamp: str | None = "ts"
    label: str = "label"


TimestampUnit = Literal["rfc3339", "s", "ms", "us", "ns"]


class Predictions(Frozen):
    """The topic or topics that a model's predictions come by."""

    topic: tuple[str, ...]
    format: str = "json"
    where: Mapping[str, str] = {}
    """Field path, or header:NAME, to the value that marks this model's messages in a shared topic."""
    start: Literal["latest", "earliest"] | Duration = "latest"
    timestamp_unit: TimestampUnit = "rfc3339"
    fields: PredictionFields = PredictionFields()


class Maturity(Frozen):
    """When a window's labels are complete enough to judge quality by."""

    coverage: Share = 0.9
    at_most: Duration = timedelta(days=2)


class Labels(Frozen):
    """The topic or topics that the ground truth comes by."""

    topic: tuple[str, ...]
    format: str = "json"
    where: Mapping[str, str] = {}
    start: Literal["latest", "earliest"] | Duration = "latest"
    timestamp_unit: TimestampUnit = "rfc3339"
    fields: LabelFields = LabelFields()
    maturity: Maturity = Maturity()


class ReferenceFields(Frozen):
    """The reference file's columns; every other one, but id and version, is a feature."""

    id: str | None = None
    timestamp: str | None = None
    version: str | None = None
    prediction: str | None = None
    score: str | None = None
    label: str | None = None


class ReferenceFile(Frozen):
    """A Parquet or CSV file; a column not named in `fields` goes by the last part of the message's path."""

    uri: str
    fields: ReferenceFields = ReferenceFields()


class Missing(Frozen):
    max: Share


class ColumnOverride(Frozen):
    """What is different for one column."""

    type: Literal["numeric", "categorical", "boolean"] | None = None
    method: str = "auto"
    threshold: float | None = None
    direction: Literal["up", "down"] | None = None
    range: tuple[float | None, float | None] | None = None
    missing: Missing | None = None


class Columns(Frozen):
    """Which columns matter, which are left out, which are judged differently."""

    important: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    overrides: Mapping[str, ColumnOverride] = {}


class Segments(Frozen):
    """`by: [a, b]` is two segmentations, `by: [[a, b]]` a crossed one."""

    by: tuple[tuple[str, ...], ...] = ()
    max_values: int = Field(default=20, ge=1, le=1000)
    min_rows: int = Field(default=500, ge=1)


class QualityAlert(Frozen):
    """Limits of one quality metric."""

    max: float | None = None
    min: float | None = None
    worse_than_reference: Share | None = None


class NoPredictions(Frozen):
    """How long a silence may last; `auto` learns it from the gaps so far."""

    after: Literal["auto"] | Duration = "auto"


class Alerts(Frozen):
    """When people are told. `for` and `recover_after` count disjoint windows."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    for_: Windows = Field(default=Windows(2), alias="for")
    recover_after: Windows = Windows(2)
    quality: Mapping[str, QualityAlert] = {}
    no_predictions: NoPredictions = NoPredictions()


class Model(Frozen):
    """One watched model, with every default filled in."""

    task: Literal["regression", "binary_classification", "none"] = "none"
    predictions: Predictions
    labels: Labels | None = None
    reference: ReferenceFile
    positive_label: str = "1"
    columns: Columns = Columns()
    segments: Segments = Segments()
    window: Window = Window()
    alerts: Alerts = Alerts()
    channel: str | None = None
    mention: str | None = None
    runbook: str | None = None
    receivers: tuple[str, ...] = ()


class Settings(Frozen):
    """A whole installation."""

    version: Literal[1] = 1
    installation: str
    clock: Literal["wall", "event"] = "wall"
    kafka: Kafka
    store: StoreSettings = StoreSettings()
    http: Http | None = None
    slack: Slack | None = None
    receivers: Mapping[str, Receiver] = {}
    false_alarms: FalseAlarms = FalseAlarms()
    models: Mapping[str, Model]
