"""The parts of Sweep."""
