"""Bytes of saved activations: of a network, of a layer, in numbers or in letters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from roofline.cost.residency import Widths
from roofline.number import Number, added, ceil_div
from roofline.program.axes import Binding, Sizes, rebind
from roofline.program.saved import Saved


def _as_stated(saved: Saved) -> Mapping[str, Binding]:
    return saved.op.local


def saved_bytes(
    saved: Iterable[Saved],
    sizes: Sizes,
    precision: Widths,
    lies: Callable[[Saved], Mapping[str, Binding]] = _as_stated,
) -> Number:
    """Bytes that are kept between the forward and the backward pass; ``lies`` binds axes to a device's part of them.

    >>> from roofline.models.model import load_model
    >>> from roofline.program.conventions import Conventions
    >>> from roofline.program.recompute import read_policy
    >>> from roofline.program.saved import saved_tensors
    >>> from roofline.program.workload import Precision
    >>> program = load_model("llama-3.1-8b").program(Conventions(lm_head="all"))
    >>> sizes = {**program.sizes, "B": 1, "T": 4096, "S": 4096}
    >>> bf16 = Precision("bf16", "bf16", "bf16")
    >>> [round(float(saved_bytes(saved_tensors(program, read_policy(word)), sizes, bf16)) / 2**30, 2)
    ...  for word in ("none", "full", "every:4")]
    [18.06, 2.04, 1.29]
    """
    return added(of_tensor(each, sizes, precision, lies) for each in saved)


def of_tensor(
    saved: Saved,
    sizes: Sizes,
    precision: Widths,
    lies: Callable[[Saved], Mapping[str, Binding]] = _as_stated,
) -> Number:
    """Bytes of one saved tensor in all the repeats of its group that keep it."""
    group = saved.group
    each = saved.tensor.elements(rebind(group.sizes(sizes), lies(saved))) * precision.width(saved.tensor)
    times = group.times(sizes) - (not saved.last) if saved.before else 1
    return each * (times if saved.every == 1 else ceil_div(times, saved.every))


def once(saved: Saved) -> Saved:
    """The same of one repeat of its group."""
    return replace(saved, group=replace(saved.group, repeat=1), before=True, last=True)
