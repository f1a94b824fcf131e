"""The same statements, bound to letters instead of numbers."""

from sympy import factor, symbols

from roofline.layers.attention import attention
from roofline.number import Number
from roofline.program.op import Tensor

sizes: dict[str, Number] = {letter: symbols(letter, positive=True, integer=True) for letter in "BTSKGH"}


def two_bytes(tensor: Tensor) -> int:
    """Every tensor in 16 bits."""
    return 2


(op,) = attention(mask="full")
flops, moved = op.flops(sizes), op.bytes(sizes, two_bytes)
decode = factor((flops / moved).subs(sizes["T"], 1))
print(f"{op}\nFLOPs      {flops}\nbytes      {moved}\nintensity  {decode}  in decode")
