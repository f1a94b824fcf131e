"""Modules that a trace may get wrong: each is counted right, is a lower bound that says so, or is refused in a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import sympy  # noqa: E402
import trap_modules as traps  # noqa: E402
from grids import examples  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import roofline  # noqa: E402
from roofline.errors import UsageError  # noqa: E402
from roofline.formulas.symbols import LETTERS  # noqa: E402
from roofline.program.conventions import Conventions  # noqa: E402
from roofline.program.phases import Phase  # noqa: E402

GIVEN = {"x": "B,S,8"}
DEAR = ("a compiled part", "multi-head attention", "a GRU", "a loop over time")


def some(names: Iterable[str]) -> list[Any]:
    """Those that take seconds stand behind -m slow."""
    return [pytest.param(name, marks=pytest.mark.slow if name in DEAR else ()) for name in names]


@pytest.mark.parametrize("name", some(traps.RIGHT))
def test_what_is_odd_is_counted_right(name: str) -> None:
    make, formula = traps.RIGHT[name]
    module = make()
    model = roofline.trace(module, GIVEN)
    found = roofline.formula(model).expression
    assert sympy.expand(found - sympy.sympify(formula, locals=LETTERS)) == 0
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert not model.is_lower_bound


@pytest.mark.parametrize("name", some(traps.AT_LEAST))
def test_what_has_no_known_cost_is_named_with_its_line(name: str) -> None:
    make, word = traps.AT_LEAST[name]
    model = roofline.trace(make(), GIVEN)
    (warning,) = model.warnings
    assert word in warning
    assert "at least: " in warning
    assert "(trap_modules.py:" in warning
    assert model.is_lower_bound
    with pytest.raises(UsageError, match=word):
        roofline.trace(make(), GIVEN, strict=True)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("name", some(traps.REFUSED))
def test_what_cannot_be_traced_is_refused_in_a_line(name: str) -> None:
    make, message = traps.REFUSED[name]
    with pytest.raises(UsageError) as failure:
        roofline.trace(make(), GIVEN)
    text = str(failure.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 400


class Residual(nn.Module):
    """A part, added to what it reads."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Any) -> Any:
        return x + self.part(x)


class Mixed(nn.Module):
    """Tokens that attend to each other, in plain matmuls, in heads."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.qkv, self.heads = nn.Linear(8, 24), heads

    def forward(self, x: Any) -> Any:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        return ((q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2)


class Turned(nn.Module):
    """A convolution along the tokens."""

    def __init__(self, taps: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(8, 8, taps, padding="same", groups=groups)

    def forward(self, x: Any) -> Any:
        return self.conv(x.mT).mT


class Summed(nn.Module):
    """A product of three tensors, a sum of rows by index, bags of rows, and distances, of which none has a weight."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.bag = how, nn.EmbeddingBag(10, 8) if how == "bag" else None

    def forward(self, x: Any) -> Any:
        if self.bag is not None:
            return x + self.bag(torch.zeros((x.shape[0], 5), dtype=torch.int64, device=x.device))[:, None]
        if self.how == "three":
            return torch.einsum("bsd,btd,bte->bse", x, x, x)
        if self.how == "distances":
            return (-torch.cdist(x, x)).softmax(-1) @ x
        return torch.zeros_like(x).index_add(1, torch.zeros(x.shape[1], dtype=torch.int64, device=x.device), x)


class Back(nn.Module):
    """A transposed convolution along the tokens."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(8, 8, 3, padding=1, groups=groups)

    def forward(self, x: Any) -> Any:
        return self.conv(x.mT).mT


PARTS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(8, 8),
    "wide": lambda: nn.Sequential(nn.Linear(8, 12, bias=False), nn.GELU(), nn.Linear(12, 8)),
    "norm": lambda: nn.LayerNorm(8),
    "rms": lambda: nn.RMSNorm(8),
    "heads": lambda: Mixed(2),
    "one head": lambda: Mixed(1),
    "convolution": lambda: Turned(3, 1),
    "grouped": lambda: Turned(5, 4),
    "each channel": lambda: Turned(3, 8),
    "transposed": lambda: Back(1),
    "transposed grouped": lambda: Back(2),
    **{how: lambda how=how: Summed(how) for how in ("bag", "three", "distances", "rows")},
}


@examples(
    st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=6),
    st.booleans(),
    st.tuples(st.integers(1, 5), st.integers(1, 40)),
    few=3,
    many=40,
)
def test_any_composition_has_the_flops_of_torch(names: list[str], residual: bool, size: tuple[int, int]) -> None:
    parts = [PARTS[name]() for name in names]
    module = nn.Sequential(*(Residual(part) if residual else part for part in parts)).eval()
    model = roofline.trace(module, {"input": "B,S,8"})
    batch, tokens = size
    tokens = max(tokens, 2 if "three" in names else 1)  # an einsum of three sums an axis of 1 up, which verbs refuse
    with torch.no_grad(), FlopCounterMode(display=False) as seen:
        module(torch.zeros(batch, tokens, 8))
    program = model.program(Conventions(count="square"))
    bound = {**program.sizes, "B": batch, "S": tokens}
    ours = sum(group.times(bound) * op.flops(group.sizes(bound)) for group, op in program.in_phase(Phase.ENCODE))
    assert ours == seen.get_total_flops()
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
