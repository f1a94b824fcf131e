"""Many LoRA adapters beside one network: two thin matmuls for each projection, of the adapters that requests use.

The formula: of N adapters of rank r, beside ``y = x w``, ``low[B T r] = x a[m D r]`` and ``y += low b[m r F]``: 2 B T r
(D + F) FLOPs, whichever they are. Those of the m adapters that a step's requests use are read; all N stay in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from roofline.classes import frozen
from roofline.compression.weight_matmuls import Matrix, contracted_per_head, layer_matrices
from roofline.errors import UsageError, WorkloadError, shown
from roofline.number import Number, power
from roofline.options import groups
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Op, Tensor, Work, fuse
from roofline.program.program import Program

MOST_ADAPTERS, MOST_RANK = 4096, 4096


@frozen
class Adapters:
    """So many low-rank adapters that lie in the memory of a device, each of this rank on every projection."""

    count: int
    rank: int

    @property
    def words(self) -> str:
        """As an option has them."""
        return f"{self.count}x{self.rank}"

    @property
    def note(self) -> str:
        """What the reader should know of how they are counted."""
        return (
            f"LoRA: {self.count} adapters of rank {self.rank} on the projections of all layers, none on experts, "
            "routers, embeddings and head; each request uses one of them, each as likely; no kernel of many adapters "
            "was ever timed: theirs take the constants of matmuls"
        )


@frozen
class InUse:
    """The adapters that at least one of a step's requests uses: N (1 - (1 - 1/N)^B) of N are expected.

    >>> InUse(4)({"B": 1}), InUse(4)({"B": 2})
    (Fraction(1, 1), Fraction(7, 4))
    >>> InUse(4)({"B": 512, "requests": 2})  # 512 tokens of two requests
    Fraction(7, 4)
    >>> from sympy import symbols
    >>> InUse(4)({"B": symbols("B")})
    4 - 4*0.75**B

    Assumes: a request uses one adapter for all of its tokens, each as likely as any other.
    Source: linearity of expectation: a request misses a given adapter with probability 1 - 1/N.
    """

    count: int

    def __call__(self, sizes: Sizes) -> Number:
        """How many of them."""
        requests = sizes["requests"] if "requests" in sizes else size_of("B", sizes)
        return self.count - self.count * power(Fraction(self.count - 1, self.count), requests)


def read_adapters(asked: groups.Adapted) -> Adapters | None:
    """What ``lora`` asks for: ``16x64``. Raises UsageError for what says no adapters of a rank.

    >>> read_adapters({"lora": "16x64"})
    Adapters(count=16, rank=64)
    """
    text = asked.get("lora")
    if text is None:
        return None
    count, _, rank = text.partition("x") if isinstance(text, str) else ("", "", "")
    if not (_whole(count, MOST_ADAPTERS) and _whole(rank, MOST_RANK)):
        msg = f"lora {shown(text)}: expected ADAPTERSxRANK such as 16x64, at most {MOST_ADAPTERS:,}x{MOST_RANK:,}"
        raise UsageError(msg)
    return Adapters(int(count), int(rank))


def adapted(program: Program, adapters: Adapters, beside: Callable[[Op], bool] = lambda _: True) -> Program:
    """A program, as an engine has merged it, with the adapters of each projection of its layers behind it.

    What an engine multiplies at once it shrinks and expands at once, too. ``beside`` picks projections, as their own
    operators. Raises WorkloadError where layers have no such projections.

    >>> from roofline.models.model import load_model
    >>> program = load_model("llama-3.1-8b").program()
    >>> more = adapted(program, Adapters(16, 64))
    >>> layers = next(group for group in more.groups if group.name == "layers")
    >>> [str(op) for op in layers.ops if op.name.startswith("q_proj")][1:]
    ['q_proj_shrink: h[B T D], w_q_lora_a[m D r] -> w_q_low[B T r]', 'q_proj_expand: w_q_low[B T r], \
w_q_lora_b[m r K G H], q[B T K G H] -> q[B T K G H]']
    >>> more.parameters() == program.parameters()
    True
    """
    fixed, found = contracted_per_head(program.groups), []
    for group in program.groups:
        wide = {op.writes[0].name: op.reads[0] for op in group.ops if op.kind == "quantize"}
        ops: list[Op] = []
        for op in group.ops:
            matrices = layer_matrices(group, op, fixed) if group.stacked else []
            own = [] if any(each.lead for each in matrices) else matrices
            pairs = zip(op.parts or (op,), own, strict=False)
            picked = [(part.name, each) for part, each in pairs if beside(part)]
            ops += [op, *(_beside(op, picked, adapters, wide) if picked else ())]
        found.append(replace(group, ops=tuple(ops)))
    if all(len(one.ops) == len(other.ops) for one, other in zip(found, program.groups, strict=True)):
        msg = f"lora {adapters.words}: the layers have no projections that adapters stand beside; leave it out"
        raise WorkloadError(msg)
    return replace(program, groups=tuple(found))


def beside(adapters: Adapters | None) -> Callable[[Program], Program] | None:
    """What puts adapters beside a merged program; None where there are none."""
    return None if adapters is None else lambda program: adapted(program, adapters)


def _beside(
    op: Op, matrices: Sequence[tuple[str, Matrix]], adapters: Adapters, wide: Mapping[str, Tensor]
) -> tuple[Op, ...]:
    """What shrinks the input of an operator to the rank, and what expands that and adds it to its output."""
    local = {**op.local, "m": InUse(adapters.count), "l": adapters.count, "r": adapters.rank}
    pairs = [_pair(name, each, wide) for name, each in matrices]
    sides = zip(("shrink", "expand"), zip(*pairs, strict=True), strict=True)
    made = []
    for word, side in sides:
        ops = [replace(each, local=local) for each in side]
        name = f"{op.name}_{word}"
        made.append(replace(ops[0], name=name) if len(ops) == 1 else fuse(name, ops, kind="matmul"))
    return tuple(replace(each, linear=place == 1) for place, each in enumerate(made))


def _pair(name: str, matrix: Matrix, wide: Mapping[str, Tensor]) -> tuple[Op, Op]:
    """The thin matmuls of one projection, on its input as it was before it was narrowed."""
    x, tokens = wide.get(matrix.x.name, matrix.x), [a for a in matrix.x.letters if a not in matrix.depth]
    depth, out = " ".join(matrix.depth), " ".join(matrix.out)
    weight = matrix.weight.name  # two operators of a layer may have parts of one name, and no weights of one
    low = Tensor(f"{weight}_low", " ".join([*tokens, "r"]))
    a, b = (
        Tensor(f"{weight}_lora_{side}", f"m {axes}", "weight", f"l {axes}")
        for side, axes in (("a", f"{depth} r"), ("b", f"r {out}"))
    )
    shrink = Op(f"{name}_shrink", "matmul", (x, a), (low,), (Work("matrix", 2, (*tokens, *matrix.depth, "r")),))
    expand = (low, b, matrix.y)
    return shrink, Op(
        f"{name}_expand", "matmul", expand, (matrix.y,), (Work("matrix", 2, (*tokens, "r", *matrix.out)),)
    )


def _whole(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= most
