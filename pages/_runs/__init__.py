"""The parts of Runs."""
