"""Human judgement of two models' results: questions for workers, and what their answers say (Pinterest, 4.3)."""
