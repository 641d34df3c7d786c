"""The headless door: ``python batch.py --help``; an installed package has the same as ``ttr``."""

from experiments_db.cli import app

if __name__ == "__main__":
    app()
