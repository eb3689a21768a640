"""A config opened as a dataset, evaluated where it is indexed."""
