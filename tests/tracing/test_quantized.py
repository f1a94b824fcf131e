"""Modules whose weights lie in buffers of fp8 or int8, multiplied as they are or widened first."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import roofline  # noqa: E402
from roofline.cost.cost import step_cost  # noqa: E402
from roofline.errors import RooflineError, UsageError  # noqa: E402
from roofline.program.conventions import Conventions  # noqa: E402
from roofline.program.phases import Phase  # noqa: E402
from roofline.program.workload import Precision  # noqa: E402

DEEP, WIDE, ROWS = 32, 48, 4 * 16
BF16 = Precision("bf16", "bf16", "bf16")


class Scaled(nn.Module):
    """Weights and activations of one byte, with a scale for all that both share, or one for each feature."""

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(WIDE, DEEP, dtype=dtype))
        self.dtype, self.scale = dtype, nn.Parameter(torch.ones(1))

    def forward(self, x: Any) -> Any:
        narrow = x.reshape(-1, DEEP).to(self.dtype)
        if self.dtype == torch.int8:
            return torch._int_mm(narrow, self.weight.t()).to(x.dtype) * self.scale
        scales = {"scale_a": self.scale, "scale_b": self.scale}
        return torch._scaled_mm(narrow, self.weight.t(), **scales, out_dtype=torch.bfloat16)


class Widened(nn.Module):
    """Weights of one byte that are widened before they are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(WIDE, DEEP, dtype=torch.int8))
        self.scale = nn.Parameter(torch.ones(WIDE, 1))

    def forward(self, x: Any) -> Any:
        return nn.functional.linear(x, self.weight.to(x.dtype) * self.scale)


@pytest.mark.parametrize(
    ("module", "dtype"),
    [(Scaled(torch.float8_e4m3fn), "fp8"), (Scaled(torch.int8), "int8"), (Widened(), "bf16")],
    ids=["fp8", "int8", "widened"],
)
def test_it_is_multiplied_in_the_format_that_its_code_has_and_kept_in_a_byte(module: Any, dtype: str) -> None:
    model = roofline.trace(module, {"x": f"B,S,{DEEP}"})
    assert model.warnings == ()
    costs = step_cost(model.program(Conventions()), Phase.ENCODE, {"B": 4, "T": 16, "S": 16}, BF16)
    (matmul,) = (cost for cost in costs if cost.kind == "matmul")
    assert (matmul.dtype, matmul.flops) == (dtype, 2 * ROWS * DEEP * WIDE)
    assert model.parameters == DEEP * WIDE + module.scale.numel()
    found = roofline.predict(model, "h100", batch=4, prompt=16)
    assert found.memory.footprint.weights_bytes == DEEP * WIDE + 2 * module.scale.numel()
    operand, result = {"fp8": (1, 2), "int8": (1, 4), "bf16": (2, 2)}[dtype]
    moved = operand * (DEEP * WIDE + ROWS * DEEP) + result * ROWS * WIDE
    assert 0 <= matmul.bytes - moved <= 4  # and a scale


def test_a_device_without_the_format_is_refused_and_so_is_what_has_no_data() -> None:
    model = roofline.trace(Scaled(torch.float8_e4m3fn), {"x": f"B,S,{DEEP}"})
    with pytest.raises(RooflineError, match="a100-sxm-80gb has no fp8"):
        roofline.predict(model, "a100", batch=4, prompt=16)
    with pytest.raises(UsageError, match="_nested_tensor_from_tensor_list"):
        roofline.trace(Nested(), {"x": f"B,S,{DEEP}"})


class Nested(nn.Module):
    """Rows of several lengths as one tensor."""

    def forward(self, x: Any) -> Any:
        return torch.nested.nested_tensor([x[0], x[1]])
