"""Tools of the project itself, which a library user never imports: speed, documents, tables."""
