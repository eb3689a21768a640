"""Points in the unit cube, quantile functions and correlations: what uncertain parameters are drawn by."""
