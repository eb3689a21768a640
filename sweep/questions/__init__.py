"""One question a folder, each answered by a dataset."""
