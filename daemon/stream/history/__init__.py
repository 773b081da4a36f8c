"""History in Parquet files, read as if it stood in Kafka: each row becomes the message that serving would have sent."""
