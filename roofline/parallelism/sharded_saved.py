"""How saved activations lie on one device among many: as they were written, partial sums reduced, nothing gathered."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from roofline.parallelism.layout import Layout, Mesh
from roofline.parallelism.sharded_backward import shared_loss
from roofline.parallelism.sharding import Flow
from roofline.program.axes import Binding
from roofline.program.phases import Phase
from roofline.program.program import Program
from roofline.program.saved import Saved


def lying(forward: Program, layout: Layout) -> Callable[[Saved], Mapping[str, Binding]]:
    """What binds the axes of saved tensors of a ``forward`` pass to the part that a device of ``layout`` holds.

    >>> from roofline.models.model import load_model
    >>> from roofline.program.axes import rebind
    >>> from roofline.program.saved import saved_tensors
    >>> from roofline.training.network import Network
    >>> program = load_model("llama-3.1-8b").program()
    >>> where = lying(Network(program).forward, Layout(tp=8))
    >>> [float(rebind({**program.sizes, "B": 1, "T": 1}, where(each))["F"])
    ...  for each in saved_tensors(program) if each.tensor.name == "g"]
    [1792.0]

    Source: Korthikanti et al. 2022 (arXiv 2205.05198), section 4.2.
    """
    flow = Flow(Mesh(layout, Phase.FORWARD))
    found: dict[tuple[str, int, str], Mapping[str, Binding]] = {}
    for group in forward.groups:
        for place, op in enumerate(group.ops):
            for part in shared_loss((op,)):
                flow.run(group, part)
            found |= {(group.name, place, tensor.name): flow.held(tensor, op) for tensor in op.writes}

    def where(saved: Saved) -> Mapping[str, Binding]:
        return found[saved.group.name, saved.place, saved.tensor.name]

    return where
