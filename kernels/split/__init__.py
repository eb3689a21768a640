"""What a schedule of purchases buys, and the split of a budget of least loss (kernels/README.md, section 4)."""
