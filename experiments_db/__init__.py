"""The experiments: what is asked, who runs it, where it is kept.

``store`` is the door to the DuckDB file of runs, ``queries`` reads it, ``backup`` and ``export``
carry it elsewhere. This module imports nothing, so that a worker process starts without DuckDB.
"""
