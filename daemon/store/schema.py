"""Every table of the store.

Instants are microseconds since the epoch, UTC, as integers. Blobs are opaque. An empty version: none was given.
Tables whose key is the way in are kept in the order of their key (`WITHOUT ROWID` in SQLite).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers the rows of a table itself only where the key's type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

names = Table(
    "names",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    comment="Strings that millions of rows share: models, versions and segments of waiting predictions.",
)

# Intake

positions = Table(
    "positions",
    metadata,
    Column("model", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("cluster_id", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("topic_id", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("max_event_time", BigInteger),
    Column("last_record_time", BigInteger),
    sqlite_with_rowid=False,
    comment="How far each model has read each partition; the fence of a checkpoint.",
)

partitions = Table(
    "partitions",
    metadata,
    Column("cluster_id", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("topic_id", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("last_record_time", BigInteger),
    Column("max_event_time", BigInteger),
    Column("end_offset", BigInteger),
    Column("attested_at", BigInteger),
    Column("attested_checkpoint", BigInteger),
    Column("run_end_offset", BigInteger),
    sqlite_with_rowid=False,
    comment="What is known of each partition whatever the model: that it exists, its end, its last record.",
)

gaps = Table(
    "gaps",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("model", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("cluster_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("topic_id", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("from_offset", BigInteger, nullable=False),
    Column("to_offset", BigInteger, nullable=False),
    Column("event_time_from", BigInteger),
    Column("event_time_to", BigInteger),
    Column("reason", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "model", "event_time_from"),
    comment="Offsets that were never read, and the stretch of event time that they may have held.",
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("model", Text),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("offset_end", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("payload", LargeBinary),
    Column("payload_bytes", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

books = Table(
    "books",
    metadata,
    Column("model", Text, primary_key=True),
    Column("counter", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

progress = Table(
    "progress",
    metadata,
    Column("model", Text, primary_key=True),
    Column("watermark", BigInteger),
    Column("label_watermark", BigInteger),
    Column("profiles_kept_from", BigInteger),
    Column("labels_kept_from", BigInteger),
    sqlite_with_rowid=False,
    comment="Per model: the highest effective watermarks so far, and the panes from which on nothing is deleted.",
)

# Panes

panes = Table(
    "panes",
    metadata,
    Column("model", Text, primary_key=True),
    Column("pane_start", BigInteger, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("spec_hash", Text, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("kth_hash", BigInteger),
    Column("min_event_time", BigInteger, nullable=False),
    Column("max_event_time", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    comment="One row for each pane, with what can be asked of it without opening its partials.",
)

partials = Table(
    "partials",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("model", Text, nullable=False),
    Column("pane_start", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("spec_hash", Text, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("profile", LargeBinary, nullable=False),
    Column("sample", LargeBinary),
    # The tier is in the index so that what can be compacted is found without reading a blob.
    Index(None, "model", "pane_start", "version", "spec_hash", "tier"),
    # A number is never given twice: a compaction that read an id can tell that it is gone.
    sqlite_autoincrement=True,
)

specs = Table(
    "specs",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

activations = Table(
    "activations",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("from_pane", BigInteger, primary_key=True),
    Column("spec_hash", Text, ForeignKey("specs.hash"), nullable=False),
    sqlite_with_rowid=False,
)

references = Table(
    "references",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

reference_uses = Table(
    "reference_uses",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("reference_hash", Text, ForeignKey("references.hash"), nullable=False),
    Column("since", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    comment="The reference that a model, or one version of it, is held against now.",
)

reference_windows = Table(
    "reference_windows",
    metadata,
    Column("model", Text, primary_key=True),
    Column("reference_hash", Text, primary_key=True),
    Column("window_start", BigInteger, primary_key=True),
    Column("window_end", BigInteger, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    comment="Live windows that help to calibrate a reference.",
)

collections = Table(
    "collections",
    metadata,
    Column("model", Text, primary_key=True),
    Column("spec_hash", Text, ForeignKey("specs.hash"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("pane", BigInteger, nullable=False),
    Column("delay", BigInteger, nullable=False),
    Column("min_rows", BigInteger, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("decided_until", BigInteger),
    Column("judged_from", BigInteger),
    Column("request_hash", Text),
    Column("is_labelled", Boolean(create_constraint=False), nullable=False),
    sqlite_with_rowid=False,
    comment="How far a model has come with collecting its reference from its live traffic.",
)

collected_windows = Table(
    "collected_windows",
    metadata,
    Column("model", Text, primary_key=True),
    Column("window_start", BigInteger, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("skipped", Text),
    Column("sample", LargeBinary),
    Column("labels", LargeBinary),
    comment="The windows of live traffic that are a reference, and those that were skipped, with the reason.",
)

labelled_references = Table(
    "labelled_references",
    metadata,
    Column("reference_hash", Text, ForeignKey("references.hash"), primary_key=True),
    Column("labelled_hash", Text, ForeignKey("references.hash"), nullable=False),
    sqlite_with_rowid=False,
    comment="The same reference with the labels that came later: what quality is held against.",
)

# Labels

predictions = Table(
    "predictions",
    metadata,
    Column("model_id", Integer, primary_key=True, autoincrement=False),
    Column("pane_start", BigInteger, primary_key=True, autoincrement=False),
    Column("id_hash", BigInteger, primary_key=True, autoincrement=False),
    Column("item", BigInteger, primary_key=True, autoincrement=False),
    Column("event_time", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("version_id", Integer, nullable=False),
    Column("segments_id", Integer, nullable=False),
    Column("prediction", Float),
    Column("prediction_text", Text),
    Column("score", Float),
    # The pane leads the key: rows of a checkpoint, of a window and of what expires lie together on disk, where the
    # random hash alone would spread them over every page. The id is found by this second, narrower tree.
    UniqueConstraint("model_id", "id_hash", "item"),
    sqlite_with_rowid=False,
    comment="Predictions that wait for their labels.",
)

labels = Table(
    "labels",
    metadata,
    Column("model_id", Integer, primary_key=True, autoincrement=False),
    Column("id_hash", BigInteger, primary_key=True, autoincrement=False),
    Column("item", BigInteger, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("joined", Boolean(create_constraint=False), nullable=False),
    Column("label", Float),
    Column("label_text", Text),
    sqlite_with_rowid=False,
)

label_panes = Table(
    "label_panes",
    metadata,
    Column("model_id", Integer, primary_key=True, autoincrement=False),
    Column("pane_start", BigInteger, primary_key=True, autoincrement=False),
    Column("below", BigInteger),
    Column("kept", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    comment="Which ids of a pane are kept for the join: those of hash lower than `below`, or all where it is null.",
)

# Verdicts

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("window_start", BigInteger, nullable=False),
    Column("window_end", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("every", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("expected", BigInteger),
    Column("fingerprint", BigInteger, nullable=False),
    Column("watermark", BigInteger, nullable=False),
    Column("evaluated_at", BigInteger, nullable=False),
    Column("reference", Text),
    Column("config_hash", Text, nullable=False),
    Column("driftd_version", Text, nullable=False),
    UniqueConstraint("model", "kind", "window_end", "window_start", "revision"),
)

findings = Table(
    "findings",
    metadata,
    Column("evaluation_id", RowId, ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("signal", Text, nullable=False),
    Column("column", Text),
    Column("metric", Text, nullable=False),
    Column("version", Text),
    Column("segment", Text),
    Column("rows", BigInteger, nullable=False),
    Column("value", Float),
    Column("threshold", Float),
    Column("noise_floor", Float),
    Column("p_value", Float),
    Column("verdict", Text, nullable=False),
    Column("severity", Text),
    Column("incident", Text),
    Column("flagged", Boolean(create_constraint=False), nullable=False),
    Column("immediate", Boolean(create_constraint=False), nullable=False),
    Column("estimated", Boolean(create_constraint=False), nullable=False),
    Column("driver", Text),
    Column("usual", Float),
    Column("current", Float),
    Column("detail", Text),
    sqlite_with_rowid=False,
)

# Incidents and what is told

boards = Table(
    "boards",
    metadata,
    Column("model", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    Column("revision", Integer, nullable=False),
    Column("summary", LargeBinary, nullable=False),
    Index(None, "model", "opened_at"),
)

incident_history = Table(
    "incident_history",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("incident", Text, ForeignKey("incidents.id", ondelete="CASCADE"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("change", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index(None, "incident", "id"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("receiver", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("incident", Text),
    Column("revision", Integer, nullable=False),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("lease_until", BigInteger),
    Column("lease_token", Text),
    Column("last_error", Text),
    Column("done_at", BigInteger),
    Index(None, "state", "receiver", "subject", "id"),
    sqlite_autoincrement=True,
)

receipts = Table(
    "receipts",
    metadata,
    Column("receiver", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("ts", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("delivered_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
    comment="Where each part of a subject was posted, so that it can be edited in place.",
)

model_states = Table(
    "model_states",
    metadata,
    Column("model", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

notes = Table(
    "notes",
    metadata,
    Column("key", Text, primary_key=True),
    Column("sentence", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
