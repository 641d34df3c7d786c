"""The experiments: what is asked, who runs it, where it is kept.

``store`` holds the DuckDB file of runs, ``read`` asks it, ``run`` and ``sweeps`` fill it. This
module imports nothing, so that a worker process starts without DuckDB.
"""
