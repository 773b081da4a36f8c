"""One file a revision: expand first, contract a release later."""
