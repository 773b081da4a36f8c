"""References that are collected from live traffic."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "collections",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("spec_hash", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("pane", sa.BigInteger(), nullable=False),
        sa.Column("delay", sa.BigInteger(), nullable=False),
        sa.Column("min_rows", sa.BigInteger(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("decided_until", sa.BigInteger(), nullable=True),
        sa.Column("judged_from", sa.BigInteger(), nullable=True),
        sa.Column("request_hash", sa.Text(), nullable=True),
        sa.Column("is_labelled", sa.Boolean(create_constraint=False), nullable=False),
        sa.ForeignKeyConstraint(["spec_hash"], ["specs.hash"], name=op.f("fk_collections_spec_hash_specs")),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_collections")),
        sqlite_with_rowid=False,
        comment="How far a model has come with collecting its reference from its live traffic.",
    )
    op.create_table(
        "collected_windows",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("window_start", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.Text(), nullable=True),
        sa.Column("sample", sa.LargeBinary(), nullable=True),
        sa.Column("labels", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("model", "window_start", name=op.f("pk_collected_windows")),
        comment="The windows of live traffic that are a reference, and those that were skipped, with the reason.",
    )
    op.create_table(
        "labelled_references",
        sa.Column("reference_hash", sa.Text(), nullable=False),
        sa.Column("labelled_hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reference_hash"], ["references.hash"], name=op.f("fk_labelled_references_reference_hash_references")
        ),
        sa.ForeignKeyConstraint(
            ["labelled_hash"], ["references.hash"], name=op.f("fk_labelled_references_labelled_hash_references")
        ),
        sa.PrimaryKeyConstraint("reference_hash", name=op.f("pk_labelled_references")),
        sqlite_with_rowid=False,
        comment="The same reference with the labels that came later: what quality is held against.",
    )
