"""The JSON of ``op``, field by field."""

from __future__ import annotations

from typing import Annotated, NotRequired

from typing_extensions import TypedDict

from roofline.prediction.answers import BandAnswer, Bound, HardwareAnswer, SharesAnswer
from roofline.schema import Answer, Says


class OpInputs(TypedDict, total=False):
    """The sizes that the kind takes, and how it runs."""

    m: Annotated[int, Says("matmul: rows of the activations", "elements")]
    k: Annotated[int, Says("matmul, grouped_matmul: dimension that is summed over", "elements")]
    n: Annotated[int, Says("matmul, grouped_matmul: columns of the weights", "elements")]
    batch: Annotated[int, Says("attention: sequences at once", "sequences")]
    query: Annotated[int, Says("attention: new tokens", "tokens")]
    context: Annotated[int, Says("attention: attended tokens", "tokens")]
    heads: Annotated[int, Says("attention: query heads")]
    kv_heads: Annotated[int, Says("attention: heads of keys and values")]
    head_dim: Annotated[int, Says("attention: elements of a head", "elements")]
    causal: Annotated[bool, Says("attention: each token attends to those before it, or to all")]
    rows: Annotated[int, Says("elementwise, norm, softmax: rows")]
    columns: Annotated[int, Says("elements of a row", "elements")]
    inputs: Annotated[int, Says("elementwise: tensors read")]
    tokens: Annotated[int, Says("grouped_matmul, embedding: rows that are multiplied or looked up", "tokens")]
    experts: Annotated[int, Says("grouped_matmul: experts, each with weights of its own")]
    topk: Annotated[int, Says("grouped_matmul: experts that a token is sent to")]
    routing: Annotated[str, Says("grouped_matmul: load of experts, uniform, balanced, power_law:A or power_law:A:eplb")]
    operation: Annotated[str, Says("collective: all_reduce, all_gather, reduce_scatter or all_to_all")]
    message_bytes: Annotated[int, Says("collective: the whole message", "B")]
    devices: Annotated[int, Says("collective: devices")]
    dtype: Annotated[str, Says("number format")]
    engine: Annotated[str, Says("what launches it")]
    kernels: Annotated[str, Says("library whose kernels run: attention's, or that of matmuls")]
    constants: Annotated[str, Says("whose constants")]


class OpAnswer(Answer):
    """One operator on a device; of a collective, one device's part."""

    kind: Annotated[str, Says("kind of operator")]
    hardware: Annotated[HardwareAnswer, Says("the devices")]
    inputs: Annotated[OpInputs, Says("inputs as they were taken")]
    form: NotRequired[Annotated[str, Says("algorithm of a collective that is the fastest: ring, tree, in-switch ...")]]
    flops: Annotated[float, Says("operations of contractions, a multiplication and an addition being 2", "FLOP")]
    vector_flops: Annotated[float, Says("elementwise operations, which are not part of flops", "FLOP")]
    bytes: Annotated[float, Says("compulsory traffic of device memory: each tensor is read once and written once", "B")]
    intensity: Annotated[float, Says("arithmetic intensity: flops / bytes", "FLOP/B")]
    time_s: Annotated[float, Says("expected time", "s")]
    bound_s: Annotated[
        float,
        Says(
            "time at best: max(FLOPs / peak, bytes / bandwidth) by the data sheet; a warm cache has its own rate", "s"
        ),
    ]
    low_s: Annotated[float, Says("low end of the band of the time", "s")]
    high_s: Annotated[float, Says("high end of the band of the time", "s")]
    bound_by: Annotated[Bound, Says("the largest share")]
    link_bytes: Annotated[float, Says("what a device sends to others in a ring", "B")]
    shares: Annotated[SharesAnswer, Says("what the time is made of")]
    provenance: Annotated[str, Says("where the constants come from: datasheet, class, published or calibrated")]
    band: Annotated[BandAnswer, Says("how sure the time is")]
    notes: Annotated[list[str], Says("what to know about this prediction")]
