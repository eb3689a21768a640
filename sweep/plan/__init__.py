"""How work is cut: integers only, no arrays and no files."""
