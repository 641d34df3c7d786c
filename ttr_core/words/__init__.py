"""Words: what is said of a spec, in LaTeX, sentences and tables."""
