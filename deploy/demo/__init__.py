"""The demonstration: a year of real flights, a plain model, and two announced faults."""
