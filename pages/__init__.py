"""The pages of the explorer; what starts with an underscore is no page."""
