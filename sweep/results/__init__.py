"""What is kept of a sweep: its labels, the store and what proves it whole, NetCDF, pooled replicates."""
