"""What drives an output: Sobol' indices, Shapley effects, elementary effects."""
