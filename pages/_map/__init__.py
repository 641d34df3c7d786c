"""The parts of Map."""
