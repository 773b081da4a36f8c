"""What findings become: lines that count windows, and incidents that people are told about. Pure: no clock, no I/O."""
