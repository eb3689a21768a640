"""How a budget is best split."""
