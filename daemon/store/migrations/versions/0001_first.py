"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "boards",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_boards")),
    )
    op.create_table(
        "books",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("counter", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", "counter", name=op.f("pk_books")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("offset_end", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("payload_bytes", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("window_start", sa.BigInteger(), nullable=False),
        sa.Column("window_end", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("every", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=True),
        sa.Column("fingerprint", sa.BigInteger(), nullable=False),
        sa.Column("watermark", sa.BigInteger(), nullable=False),
        sa.Column("evaluated_at", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("config_hash", sa.Text(), nullable=False),
        sa.Column("driftd_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
        sa.UniqueConstraint(
            "model",
            "kind",
            "window_end",
            "window_start",
            "revision",
            name=op.f("uq_evaluations_model_kind_window_end_window_start_revision"),
        ),
    )
    op.create_table(
        "gaps",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("topic_id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("from_offset", sa.BigInteger(), nullable=False),
        sa.Column("to_offset", sa.BigInteger(), nullable=False),
        sa.Column("event_time_from", sa.BigInteger(), nullable=True),
        sa.Column("event_time_to", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gaps")),
        comment="Offsets that were never read, and the stretch of event time that they may have held.",
    )
    op.create_index(op.f("ix_gaps_model_gaps_event_time_from"), "gaps", ["model", "event_time_from"], unique=False)
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("summary", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index(op.f("ix_incidents_model_incidents_opened_at"), "incidents", ["model", "opened_at"], unique=False)
    op.create_table(
        "label_panes",
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pane_start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("below", sa.BigInteger(), nullable=True),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", "pane_start", name=op.f("pk_label_panes")),
        comment="Which ids of a pane are kept for the join: those of hash lower than `below`, or all where it is null.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "labels",
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id_hash", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("item", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("joined", sa.Boolean(), nullable=False),
        sa.Column("label", sa.Float(), nullable=True),
        sa.Column("label_text", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("model_id", "id_hash", "item", name=op.f("pk_labels")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "model_states",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_model_states")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "names",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_names")),
        sa.UniqueConstraint("name", name=op.f("uq_names_name")),
        comment="Strings that millions of rows share: models, versions and segments of waiting predictions.",
    )
    op.create_table(
        "notes",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_notes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("incident", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", sa.Text(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_outbox_idempotency_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_outbox_state_outbox_receiver_outbox_subject_outbox_id"),
        "outbox",
        ["state", "receiver", "subject", "id"],
        unique=False,
    )
    op.create_table(
        "panes",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("pane_start", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("spec_hash", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("kth_hash", sa.BigInteger(), nullable=True),
        sa.Column("min_event_time", sa.BigInteger(), nullable=False),
        sa.Column("max_event_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", "pane_start", "version", "spec_hash", name=op.f("pk_panes")),
        comment="One row for each pane, with what can be asked of it without opening its partials.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "partials",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("pane_start", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("spec_hash", sa.Text(), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("profile", sa.LargeBinary(), nullable=False),
        sa.Column("sample", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partials")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_partials_model_partials_pane_start_partials_version_partials_spec_hash_partials_tier"),
        "partials",
        ["model", "pane_start", "version", "spec_hash", "tier"],
        unique=False,
    )
    op.create_table(
        "partitions",
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("topic_id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("last_record_time", sa.BigInteger(), nullable=True),
        sa.Column("max_event_time", sa.BigInteger(), nullable=True),
        sa.Column("end_offset", sa.BigInteger(), nullable=True),
        sa.Column("attested_at", sa.BigInteger(), nullable=True),
        sa.Column("attested_checkpoint", sa.BigInteger(), nullable=True),
        sa.Column("run_end_offset", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("cluster_id", "topic", "topic_id", "partition", name=op.f("pk_partitions")),
        comment="What is known of each partition whatever the model: that it exists, its end, its last record.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "positions",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("topic_id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("max_event_time", sa.BigInteger(), nullable=True),
        sa.Column("last_record_time", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint(
            "model", "role", "cluster_id", "topic", "topic_id", "partition", name=op.f("pk_positions")
        ),
        comment="How far each model has read each partition; the fence of a checkpoint.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "predictions",
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pane_start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id_hash", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("item", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("segments_id", sa.Integer(), nullable=False),
        sa.Column("prediction", sa.Float(), nullable=True),
        sa.Column("prediction_text", sa.Text(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("model_id", "pane_start", "id_hash", "item", name=op.f("pk_predictions")),
        sa.UniqueConstraint("model_id", "id_hash", "item", name=op.f("uq_predictions_model_id_id_hash_item")),
        comment="Predictions that wait for their labels.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "progress",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("watermark", sa.BigInteger(), nullable=True),
        sa.Column("label_watermark", sa.BigInteger(), nullable=True),
        sa.Column("profiles_kept_from", sa.BigInteger(), nullable=True),
        sa.Column("labels_kept_from", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_progress")),
        comment="Per model: the highest effective watermarks so far, and the panes from which on nothing is deleted.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "receipts",
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("ts", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("receiver", "subject", "part", name=op.f("pk_receipts")),
        comment="Where each part of a subject was posted, so that it can be edited in place.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reference_windows",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("reference_hash", sa.Text(), nullable=False),
        sa.Column("window_start", sa.BigInteger(), nullable=False),
        sa.Column("window_end", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("model", "reference_hash", "window_start", name=op.f("pk_reference_windows")),
        comment="Live windows that help to calibrate a reference.",
    )
    op.create_table(
        "references",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_references")),
    )
    op.create_table(
        "specs",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_specs")),
    )
    op.create_table(
        "activations",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("from_pane", sa.BigInteger(), nullable=False),
        sa.Column("spec_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["spec_hash"], ["specs.hash"], name=op.f("fk_activations_spec_hash_specs")),
        sa.PrimaryKeyConstraint("model", "version", "from_pane", name=op.f("pk_activations")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "findings",
        sa.Column("evaluation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("column", sa.Text(), nullable=True),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("segment", sa.Text(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("noise_floor", sa.Float(), nullable=True),
        sa.Column("p_value", sa.Float(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("incident", sa.Text(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("immediate", sa.Boolean(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("driver", sa.Text(), nullable=True),
        sa.Column("usual", sa.Float(), nullable=True),
        sa.Column("current", sa.Float(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evaluations.id"],
            name=op.f("fk_findings_evaluation_id_evaluations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "number", name=op.f("pk_findings")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "incident_history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("incident", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident"], ["incidents.id"], name=op.f("fk_incident_history_incident_incidents"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_history")),
    )
    op.create_index(
        op.f("ix_incident_history_incident_incident_history_id"), "incident_history", ["incident", "id"], unique=False
    )
    op.create_table(
        "reference_uses",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("reference_hash", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reference_hash"], ["references.hash"], name=op.f("fk_reference_uses_reference_hash_references")
        ),
        sa.PrimaryKeyConstraint("model", "version", name=op.f("pk_reference_uses")),
        comment="The reference that a model, or one version of it, is held against now.",
        sqlite_with_rowid=False,
    )
