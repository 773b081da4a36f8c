"""Alembic's environment: it works on the connection that it is given and opens none."""

from alembic import context

from daemon.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table by copying it.
    render_as_batch=True,
    # The caller's transaction holds all of it: a migration that fails half-way changes nothing.
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
