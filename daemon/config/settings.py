"""Typed, frozen settings: what a configuration file means once it is read and merged.

The text below each field is its description in the JSON schema and in docs/configuration.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from daemon.config.forms import (
    Condition,
    Features,
    FieldPath,
    Groups,
    Identifier,
    Listen,
    Names,
    ReferenceFile,
    SecretUrl,
    Servers,
    Text,
    Topics,
    Url,
)
from daemon.config.quantities import (
    AlarmBudget,
    AutoDuration,
    Duration,
    FirstWindows,
    PositiveDuration,
    RelativeChange,
    Share,
    Start,
    Windows,
)
from daemon.config.suite import Suite


class Frozen(BaseModel):
    """Base of every settings class: an unknown key is an error, a value never changes."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


def digest(settings: BaseModel) -> str:
    """Twelve hexadecimal digits that name everything in `settings` but the secrets."""
    # Pydantic writes every secret as the same row of asterisks, so a rotated password changes nothing.
    text = json.dumps(settings.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


Secret = Annotated[SecretStr, Field(min_length=1)]
"""A secret that may also be given as a file's path, by the same key with `_file`."""


class Sasl(Frozen):
    """How the daemon proves itself to Kafka."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    """The mechanism that the brokers ask for."""
    username: str
    """The user's name."""
    password: Secret
    """The user's password."""


class Ssl(Frozen):
    """The certificates for a Kafka that speaks TLS."""

    ca_file: Path | None = None
    """The authority that signed the brokers' certificates, as PEM; without it the system's own list."""
    certificate_file: Path | None = None
    """The client certificate, as PEM, where the brokers ask for one."""
    key_file: Path | None = None
    """The client certificate's private key, as PEM."""
    check_hostname: bool = True
    """Whether a broker's certificate must carry the broker's name."""


class Kafka(Frozen):
    """Where the prediction logs are."""

    bootstrap_servers: Servers
    """One `host:port`, or several: with commas between them, or as a list."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How the brokers are spoken to."""
    sasl: Sasl | None = None
    """Needed by SASL_PLAINTEXT and SASL_SSL."""
    ssl: Ssl | None = None
    """Certificates for SSL and SASL_SSL."""


class Retention(Frozen):
    """How long each kind of state is kept; predictions and labels go when their windows are final."""

    results: PositiveDuration = timedelta(days=400)
    """Findings and incidents."""
    profiles: PositiveDuration = timedelta(days=90)
    """The summaries that windows are merged from."""
    samples: PositiveDuration = timedelta(days=14)
    """The sampled rows, which exact statistics and reports need."""


class StoreSettings(Frozen):
    """The embedded store and how often the buffer is written to it."""

    path: Path = Path("driftd.db")
    """The SQLite file."""
    checkpoint: PositiveDuration = timedelta(seconds=10)
    """The longest that a row stays in memory only; after a crash it is read from Kafka again."""
    retention: Retention = Retention()
    """How long state is kept."""


class Http(Frozen):
    """The port for /healthz, /readyz and /metrics."""

    listen: Listen = "127.0.0.1:8080"
    """`address:port`; an IPv6 address stands in brackets."""


class Slack(Frozen):
    """The bot that posts."""

    bot_token: Secret
    """The bot's token, `xoxb-...`."""
    api_url: Url = "https://slack.com/api/"
    """Slack's own unless a proxy or a government cloud stands in between."""


class WebhookReceiver(Frozen):
    """A URL that gets each incident's changes as JSON."""

    type: Literal["webhook"]
    """The kind of receiver."""
    url: SecretUrl
    """Where to post; a secret, because such addresses often carry a token."""
    timeout: PositiveDuration = timedelta(seconds=10)
    """How long one request may take."""


class SlackReceiver(Frozen):
    """A Slack channel that is told besides the model's own."""

    type: Literal["slack"]
    """The kind of receiver."""
    channel: str = Field(min_length=1)
    """The channel, `#name` or its id."""
    mention: str | None = None
    """Who is mentioned when an incident opens or gets worse: a user, a group, or `here`."""


Receiver = Annotated[WebhookReceiver | SlackReceiver, Field(discriminator="type")]


class FalseAlarms(Frozen):
    """How many false alarms the whole installation may raise."""

    at_most: AlarmBudget = AlarmBudget(count=2, period=timedelta(days=7))
    """Shared out over the models: with more models each one's tests become stricter."""


class Window(Frozen):
    """The windows that a model is judged in."""

    size: PositiveDuration = timedelta(days=1)
    """How much event time one window covers; a multiple of `every`."""
    every: PositiveDuration = timedelta(hours=6)
    """How often a window ends, counted from midnight UTC of 1 January 1970; at most `size`."""
    watermark_delay: Duration = timedelta(minutes=10)
    """How far rows may be out of order."""
    allowed_lateness: Duration | None = None
    """How long after its end a window may be revised by late rows; without it one `size`."""
    min_rows: int = Field(default=200, ge=1)
    """A window with fewer rows is `insufficient_data`."""


class PredictionFields(Frozen):
    """Dotted paths of what a prediction message holds."""

    id: FieldPath = "id"
    """What a label names the prediction by."""
    timestamp: FieldPath | None = "ts"
    """The event time; `null`: Kafka's own timestamp."""
    version: FieldPath | None = "model_version"
    """The model's version; `null`: one version only."""
    prediction: FieldPath | None = "prediction"
    """The predicted value, class or list of items; `null`: the messages have none."""
    score: FieldPath | None = None
    """The probability of the positive class."""
    scores: FieldPath | None = None
    """The probabilities of a multiclass model, an object of class to probability; at most 100 classes."""
    features: Features = "features.*"
    """A path or a list of paths; `features.*`: every key below `features`; `*`: every key that no other field names."""
    item: FieldPath | None = None
    """What tells apart several predictions with one id."""


class LabelFields(Frozen):
    """Dotted paths of what a label message holds."""

    id: FieldPath = "id"
    """The id of the prediction that the label belongs to."""
    timestamp: FieldPath | None = "ts"
    """The label's own time: of several labels the latest counts; `null`: Kafka's own timestamp."""
    label: FieldPath = "label"
    """The true value or class, or one item that was taken from a recommended list."""


TimestampUnit = Literal["rfc3339", "s", "ms", "us", "ns"]


class Predictions(Frozen):
    """The topic or topics that a model's predictions come by."""

    topic: Topics
    """One topic, or a list of them."""
    format: str = "json"
    """How a message is encoded."""
    where: Mapping[Condition, Text] = {}
    """Field path, or `header:NAME`, to the value that marks this model's messages; all others are ignored."""
    start: Start = "latest"
    """Where to begin when the model is new: `latest`, `earliest`, or how far back, such as `14d`."""
    timestamp_unit: TimestampUnit = "rfc3339"
    """How the timestamp is written: `rfc3339`, or the unit that counts from 1970."""
    fields: PredictionFields = PredictionFields()
    """Where in a message each thing is."""


class Maturity(Frozen):
    """When a window's labels are complete enough to judge quality by."""

    coverage: Share = 0.9
    """The share of the predictions that must have a label; of no use to recommendations, which few people take. A
    window that has less than half of this share after `at_most` is told as `labels_missing`."""
    at_most: PositiveDuration = timedelta(days=2)
    """After this long quality is judged with what labels there are."""


class Labels(Frozen):
    """The topic or topics that the ground truth comes by."""

    topic: Topics
    """One topic, or a list of them."""
    format: str = "json"
    """How a message is encoded."""
    where: Mapping[Condition, Text] = {}
    """Field path, or `header:NAME`, to the value that marks this model's messages; all others are ignored."""
    start: Start = "latest"
    """Where to begin when the model is new: `latest`, `earliest`, or how far back, such as `14d`."""
    timestamp_unit: TimestampUnit = "rfc3339"
    """How the timestamp is written: `rfc3339`, or the unit that counts from 1970."""
    fields: LabelFields = LabelFields()
    """Where in a message each thing is."""
    maturity: Maturity = Maturity()
    """When quality is judged."""


class ReferenceFields(Frozen):
    """The reference file's columns; every other one, but id and version, is a feature."""

    id: str | None = None
    """Prediction ids."""
    timestamp: str | None = None
    """Event times."""
    version: str | None = None
    """Model versions."""
    prediction: str | None = None
    """Predictions."""
    score: str | None = None
    """Scores."""
    scores: str | None = None
    """Probabilities by class: objects, or JSON text."""
    label: str | None = None
    """Labels: the quality that `worse_than_reference` compares with, and what estimates of quality are learned from."""


class Reference(Frozen):
    """Rows from a time when the model was fine: a file, or without one the first windows of the model's own traffic.

    A column of the file that is not named in `fields` goes by the last part of the message's path.
    """

    uri: ReferenceFile | None = None
    """The file, which ends in .parquet or .csv; a relative path is taken from the configuration's folder."""
    window: FirstWindows = FirstWindows(14, None)
    """Without a file: `first 14 windows`, or `first 3d`; only windows of at least `window.min_rows` rows count."""
    fields: ReferenceFields = ReferenceFields()
    """The file's column names, where they differ from the messages'."""

    @property
    def is_live(self) -> bool:
        """Whether the reference is taken from the model's traffic."""
        return self.uri is None

    def windows(self, size: timedelta) -> int:
        """How many windows of a size the traffic must bring."""
        return self.window.count(size)


class Missing(Frozen):
    """The limit for missing values of one column."""

    max: Share
    """A larger share of missing values is `violated` at once."""


class ColumnOverride(Frozen):
    """What is different for one column."""

    type: Literal["numeric", "categorical", "boolean"] | None = None
    """The column's type, where the inferred one is wrong."""
    method: str = "auto"
    """The drift method; `evidently:NAME` runs another of Evidently's tests on the sample."""
    threshold: float | None = None
    """The method's size limit; without it the method's customary one."""
    direction: Literal["up", "down"] | None = None
    """Only a mean that moves this way counts."""
    range: tuple[float | None, float | None] | None = None
    """[lowest, highest] allowed value; `null` leaves one side open; a value outside is `violated` at once."""
    missing: Missing | None = None
    """A limit for missing values."""


class Columns(Frozen):
    """Which columns matter, which are left out, which are judged differently."""

    important: Names = ()
    """Columns whose drift alone tells people."""
    exclude: Names = ()
    """Columns that are not looked at."""
    overrides: Mapping[str, ColumnOverride] = {}
    """By column name."""


class Segments(Frozen):
    """The parts of the traffic that are also judged by themselves."""

    by: Groups = ()
    """Columns: `[a, b]` is two segmentations, `[[a, b]]` a crossed one."""
    max_values: int = Field(default=20, ge=1, le=1000)
    """The reference's commonest values have their own segment, the others share one."""
    min_rows: int = Field(default=500, ge=1)
    """A segment with fewer rows in a window is not judged in it: `insufficient_data`."""


class QualityAlert(Frozen):
    """Limits of one quality metric; at least one of them."""

    max: float | None = None
    """The highest allowed value."""
    min: float | None = None
    """The lowest allowed value."""
    worse_than_reference: RelativeChange | None = None
    """How much worse than in the reference it may be, relative to the reference's value."""


class NoPredictions(Frozen):
    """How long a silence may last."""

    after: AutoDuration = "auto"
    """`auto` learns it from the gaps so far; before it has learned anything it is a day. A model that never had a row
    is silent since its messages are read."""


class Alerts(Frozen):
    """When people are told."""

    model_config = ConfigDict(populate_by_name=True)

    for_: Windows = Field(default=Windows(2), alias="for")
    """So many disjoint windows in a row must be flagged before an incident opens."""
    recover_after: Windows = Windows(2)
    """So many disjoint quiet windows in a row close an incident."""
    quality: Mapping[str, QualityAlert] = {}
    """By metric name; needs labels, or for estimates those of the reference."""
    no_predictions: NoPredictions = NoPredictions()
    """When a producer counts as dead."""


class Model(Frozen):
    """One watched model, with every default filled in."""

    task: Literal["regression", "binary_classification", "multiclass", "recommendation", "none"] = "none"
    """What the model predicts; `none`: drift only."""
    predictions: Predictions
    """Where its predictions are."""
    labels: Labels | None = None
    """Where its ground truth is, if it comes."""
    reference: Reference = Reference()
    """What its windows are held against."""
    positive_label: Text = "1"
    """The class that `score` is the probability of; a number or a boolean is compared by its text."""
    k: int = Field(default=10, ge=1, le=100)
    """So many items of a recommended list are judged, from the first on."""
    columns: Columns = Columns()
    """What is different for single columns."""
    segments: Segments = Segments()
    """Parts of the traffic."""
    window: Window = Window()
    """Windows of event time."""
    alerts: Alerts = Alerts()
    """When people are told."""
    evidently: Suite = ()
    """Your own suite of Evidently's presets, metrics and tests, run on each window (docs/evidently.md)."""
    channel: str | None = Field(default=None, min_length=1)
    """The Slack channel, `#name` or its id."""
    mention: str | None = None
    """Who is mentioned when an incident opens or gets worse: a user, a group, or `here`."""
    runbook: Url | None = None
    """A link that every message of this model carries."""
    receivers: Names = ()
    """Names of `receivers` that are told too."""

    @property
    def several_labels(self) -> bool:
        """Whether a prediction may have several labels, or none for good: the items taken from a list."""
        return self.task == "recommendation"

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that name the model's settings, without secrets."""
        return digest(self)


class Settings(Frozen):
    """A whole installation."""

    version: Literal[1] = 1
    """The version of this format."""
    installation: Identifier
    """Names the Kafka group and the metrics' label: letters, digits, dots, dashes, underscores."""
    clock: Literal["wall", "event"] = "wall"
    """`event` for replays: silence and lag are judged by event time."""
    kafka: Kafka
    """Where the prediction logs are."""
    store: StoreSettings = StoreSettings()
    """Where the daemon keeps its state."""
    http: Http | None = None
    """Health, metrics; without it no port is opened."""
    slack: Slack | None = None
    """The bot; without it nothing is posted to Slack."""
    receivers: Mapping[str, Receiver] = {}
    """Others that are told, by a name that models refer to."""
    false_alarms: FalseAlarms = FalseAlarms()
    """The budget of the whole installation."""
    models: Mapping[str, Model]
    """The watched models, by name."""

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that name the whole configuration, without secrets."""
        return digest(self)
