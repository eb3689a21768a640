"""How a budget is best split, in words: splits, plans for many draws, schedules."""
