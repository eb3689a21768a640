"""A config becomes frozen, validated records; which models there are is not known here."""
