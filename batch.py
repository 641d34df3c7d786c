"""The headless door: ``python batch.py --help``; an installed package has the same as ``ttr``."""

from experiments_db.__main__ import main

if __name__ == "__main__":
    main()
