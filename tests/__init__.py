"""The tests. Importable from a checkout, so that a test may use what another folder has."""
