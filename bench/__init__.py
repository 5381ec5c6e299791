"""Load and comparison. The last line that a bench prints is one JSON document."""
