"""Where software meets hardware: the time of an operator, a kernel, a collective, and the energy that it takes."""
