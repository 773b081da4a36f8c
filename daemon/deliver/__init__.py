"""What leaves the daemon: the outbox's sender, the receivers that it sends to, and the messages themselves."""
