"""Pure functions from arrays and references to findings. No Kafka, no SQL, no Slack, no file, no clock."""
