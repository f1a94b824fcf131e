"""The one table of ATen operators: schemas, tags and names, for tracing and for validation."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from roofline.tracing import aten  # noqa: E402

OPS: Any = torch.ops.aten
KINDS = {
    "view": [
        OPS.view.default,
        OPS.transpose.int,
        OPS.slice.Tensor,
        OPS.expand.default,
        OPS.split.Tensor,
        OPS.detach.default,
    ],
    "empty": [OPS.empty.memory_format, OPS.new_empty.default],
    "matmul": [OPS.mm.default, OPS.addmm.default, OPS.bmm.default, OPS._grouped_mm.default],
    "attention": [
        OPS._scaled_dot_product_flash_attention.default,
        OPS._scaled_dot_product_flash_attention_for_cpu.default,
    ],
    "convolution": [OPS.convolution.default],
    "pointwise": [
        OPS.add.Tensor,
        OPS.add_.Tensor,
        OPS.mul_.Scalar,
        OPS.gelu.default,
        OPS.cat.default,
        OPS.relu_.default,
    ],
    "reduction": [OPS.sum.dim_IntList, OPS.mean.dim, OPS.amax.default, OPS.var_mean.correction],
    "norm": [OPS.native_layer_norm.default, OPS.native_group_norm.default],
    "softmax": [OPS._softmax.default, OPS._safe_softmax.default],
    "gather": [OPS.embedding.default, OPS.index.Tensor, OPS.gather.default],
    "scatter": [OPS.scatter_add_.default, OPS.index_put_.default],
    "unknown": [OPS._fft_r2c.default, OPS.sort.default, OPS._linalg_svd.default],
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_operator_is_what_its_schema_tags_and_name_say(kind: str) -> None:
    assert [aten.kind_of(function) for function in KINDS[kind]] == [kind] * len(KINDS[kind])


def test_most_pointwise_operators_of_torch_need_no_name() -> None:
    """Tags speak for those that the table does not list; a name that torch does not know is a mistake in it."""
    pointwise = [
        overload
        for name in dir(OPS)
        for overload in [getattr(getattr(OPS, name), "Tensor", None)]
        if overload is not None and torch.Tag.pointwise in overload.tags and not overload._schema.is_mutable
    ]
    assert len(pointwise) >= 30
    assert {aten.kind_of(each) for each in pointwise} == {"pointwise"}


def test_operators_of_other_libraries_are_unknown() -> None:
    assert aten.kind_of(torch.ops.quantized.linear.default) == "unknown"
