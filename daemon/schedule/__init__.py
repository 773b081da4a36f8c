"""When and what: windows due, worker processes, references, silence, upkeep of the store."""
