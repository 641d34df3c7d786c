"""The parts of Analyze."""
