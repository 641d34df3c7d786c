"""What can be asked of a store: lists, groups, cells, exports."""
