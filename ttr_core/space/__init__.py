"""The design space: what can be chosen on each axis, and a spec as one point of it."""
