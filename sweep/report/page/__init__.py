"""One HTML file that answers a question, works offline, and moves over every axis of a dataset."""
