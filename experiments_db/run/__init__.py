"""Who runs a run: requests, worker processes and their Supervisor."""
