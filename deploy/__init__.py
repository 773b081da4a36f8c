"""What runs driftd, and what driftd runs on. Importable from a checkout only; it is not part of the wheel."""
