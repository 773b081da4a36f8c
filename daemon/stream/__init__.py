"""Kafka in: messages become partials in the store, each row counted exactly once."""
