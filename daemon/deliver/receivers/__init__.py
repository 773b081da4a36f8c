"""One file for each type of receiver; each registers itself under the `type` that the configuration names."""
