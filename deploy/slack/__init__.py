"""A stand-in for Slack on this machine, and how its threads look."""
