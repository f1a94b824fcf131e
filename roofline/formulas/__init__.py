"""Formulas as a product: built from the statements of the operators, printed, substituted, solved, compiled.

The only room that imports sympy, so import it only where a formula is asked for.
"""
