"""Parts of the page Paper."""
