"""The lab: tasks, training and experiments, as events and data."""
