"""docs/formulas.md, from the code: each layer's statement, counts, intensity, condition and source."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from sympy import ceiling, sympify

from roofline.errors import UsageError, WorkloadError
from roofline.formulas.building import build
from roofline.formulas.catalogue import LAYERS
from roofline.formulas.expressions import Quantity
from roofline.formulas.lone_layers import Layer
from roofline.formulas.printers import latex_source
from roofline.formulas.regimes import solve_regime
from roofline.formulas.setting import make_setting
from roofline.formulas.simplification import simplified
from roofline.formulas.symbols import LETTERS, RATES
from roofline.program.axes import LEGEND
from roofline.program.conventions import Conventions
from roofline.program.op import Op

_INTRODUCTION = """\
# Formulas

Generated from the statements of the operators; a test holds it equal to the code. Every tensor is in 16 bits (2 bytes
an element), an index has 8 bytes, one fused multiply-add is 2 FLOPs. Counts are those of one execution in which T new
tokens attend to S; set T = S for a prompt, T = 1 for a decode step. FLOPs are those of contractions; elementwise work
and exponentials are counted apart. Scans are shown for a prompt of whole chunks, T a multiple of W.

A layer is compute-bound on the roofs of a data sheet where FLOPs / peak >= bytes / bandwidth. The condition is solved
for the batch B, or for the context S where B cancels, if that is possible, and holds while the
denominator is positive, else never; what has no contraction never is.

`roofline formula NAME` prints each of them, with `--latex`, `--python` or `--js`; with `--solve` the condition for any
other letter, and with `--hardware` its number.
"""


def formulas_page() -> str:
    """The whole page as Markdown."""
    parts = [_INTRODUCTION, *_legend()]
    for name, layer in LAYERS.items():
        parts += ["", f"## {_capital(layer.title)}", "", *_layer(name, layer)]
    return "\n".join(parts) + "\n"


def _legend() -> Iterator[str]:
    used = {letter for layer in LAYERS.values() for op in layer.build(Conventions()) for letter in _letters(op)}
    yield "| symbol | meaning |"
    yield "|---|---|"
    yield from (f"| {letter} | {meaning} |" for letter, meaning in LEGEND.items() if letter in used)
    yield from (f"| {word} | {RATES[word][0]} |" for word in ("peak", "bandwidth"))


def _letters(op: Op) -> set[str]:
    stated = {letter for tensor in (*op.reads, *op.writes) for letter in f"{tensor.axes} {tensor.stored}".split()}
    return stated | {str(symbol) for symbol in sympify(op.flops(LETTERS)).free_symbols}


def _layer(name: str, layer: Layer) -> Iterator[str]:
    yield f"`roofline formula {name}`, stated in [`{_file(layer)}`](../{_file(layer)})"
    yield ""
    yield from ("```", *map(str, layer.build(Conventions())), "```", "")
    setting = make_setting(name)
    rows: tuple[tuple[str, Quantity], ...] = (
        ("FLOPs", "flops"),
        ("bytes", "bytes"),
        ("parameters", "parameters"),
        ("KV cache or state, bytes", "kv_cache"),
        ("intensity, FLOP/B", "intensity"),
    )
    yield "| | |"
    yield "|---|---|"
    for label, quantity in rows:
        expression = build(setting, quantity, None).expression
        if quantity not in ("parameters", "kv_cache") or expression != 0:
            yield f"| {label} | ${_short(expression)}$ |"
    yield from _beside(layer)
    yield f"| compute-bound | {_condition(name)} |"
    yield ""
    yield f"Source: {_source(layer)}"


def _beside(layer: Layer) -> Iterator[str]:
    """Rows of the work beside the contractions."""
    for label, count in (("vector FLOPs", "vector_flops"), ("exponentials", "special")):
        total = sum(getattr(op, count)(LETTERS) for op in layer.build(Conventions()))
        if total != 0:
            yield f"| {label} | ${latex_source(simplified(_in_whole_chunks(total)))}$ |"


def _condition(name: str) -> str:
    """The condition, solved for the batch, else for the context, else as it stands."""
    setting = make_setting(name)
    for variable in ("B", "S"):
        try:
            regime = solve_regime(setting, variable, None)
        except UsageError:
            continue
        except WorkloadError:
            return "never: no contraction"
        if regime.solved is not None:
            return f"${variable} \\ge {_short(regime.solved)}$"
        compute, memory = (latex_source(_in_whole_chunks(side)) for side in (regime.compute, regime.memory))
    return f"${compute} \\ge {memory}$"


def _short(expression: Any) -> str:
    """A simplified expression, which is simplified anew where whole chunks make it another."""
    whole = _in_whole_chunks(expression)
    return latex_source(expression if whole == expression else simplified(whole))


def _in_whole_chunks(expression: Any) -> Any:
    """The expression where T is a multiple of W, so that nothing is rounded up."""
    return sympify(expression).replace(ceiling, lambda number: number)


def _source(layer: Layer) -> str:
    """The paragraph of the docstring that names the source."""
    text = inspect.getdoc(layer.stated_by) or ""
    found = re.search(r"^Source: (.*?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return " ".join(found.group(1).split()) if found else "the definition of the operation"


def _file(layer: Layer) -> str:
    return layer.stated_by.__module__.replace(".", "/") + ".py"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
