"""The configuration: YAML with positions, read into typed and frozen settings."""
