"""Whose kernels run, by what they do: the libraries by which constants of a kind are chosen."""

from __future__ import annotations

from roofline.classes import frozen

NO_LIBRARY = ("", "fused", "materialised", "vendor")
"""Words for kernels of no library in particular: any that were timed will do."""

UNPACKING = ("llama-cpp", "llama-cpp-b6000")
"""Libraries whose matmuls unpack blocks of weights: what was timed of them holds for blocks."""

EXPERTS = ("grouped_matmul", "routed")
"""Kinds of the chain of kernels that runs experts."""

SCANS = ("delta_rule_", "mamba2_", "convolution_")
"""What kinds of scans, and of the convolutions before them, begin with."""


@frozen
class Kernels:
    """The libraries of attention, of matmuls and of what quantises; none: those that a calibration has first.

    ``slower``: how much further off the slow end of a band lies where a library's kernels were not timed. ``experts``:
    those of grouped matmuls, by dtype; ``scan``: those of scans; none: as matmuls.
    """

    attention: str = ""
    matmul: str = ""
    slower: float = 1.0
    quantize: str = ""
    experts: tuple[tuple[str, str], ...] = ()
    scan: str = ""

    @classmethod
    def all_of(cls, library: str) -> Kernels:
        """One library for everything that it has."""
        return cls(library, library, quantize=library)

    def of(self, kind: str, dtype: str = "") -> str:
        """The library of a kind of operator.

        >>> Kernels("fa3", "trtllm").of("attention_decode"), Kernels("fa3", "trtllm").of("matmul")
        ('fa3', 'trtllm')
        """
        if kind == "quantize":
            return self.quantize
        if kind in EXPERTS and self.experts:
            libraries = dict(self.experts)
            return libraries.get(dtype, libraries.get("default", ""))
        if kind.startswith(SCANS):
            return self.scan or self.matmul
        return self.attention if "attention" in kind else self.matmul


ANY_KERNELS = Kernels()
"""Those that a calibration has first."""
