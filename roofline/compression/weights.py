"""Weights of a program, named as the program names them."""

from __future__ import annotations

from roofline.classes import frozen


@frozen
class Weights:
    """Weights by their own names, in some layers, in all where none are named.

    >>> Weights(("w_v",), (0, 3)).hold("w_v", 1), Weights(("w_v",)).hold("w_v", 1)
    (False, True)
    """

    names: tuple[str, ...]
    layers: tuple[int, ...] = ()

    def hold(self, weight: str, layer: int) -> bool:
        """Whether a weight in a layer is one of them."""
        return weight in self.names and (not self.layers or layer in self.layers)
