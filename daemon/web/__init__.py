"""The port: whether the daemon lives, whether it is ready, and what it counts."""
