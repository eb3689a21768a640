"""Within which limits of what is uncertain an outcome comes about."""
