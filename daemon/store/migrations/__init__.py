"""The store's revisions, applied by Alembic. `daemon/store/migration.py` runs them."""
