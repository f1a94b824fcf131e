"""Degrees of parallelism in the terms of each engine's launch line, and in ours."""

from __future__ import annotations

from roofline.engines.launch_flags import launch_flags, launched_engines
from roofline.engines.launch_line import LaunchLine
from roofline.engines.said import Said
from roofline.errors import UsageError
from roofline.parallelism.dimensions import DEGREES
from roofline.parallelism.layout import Layout


def degrees_said(layout: Layout, engine: str, *, experts: bool) -> dict[str, Said]:
    """The degrees in the engine's own terms, ``experts``: of a mixture. Raises UsageError for what it does not have.

    >>> degrees_said(Layout(dp=8, ep=8), "vllm", experts=True)
    {'dp': 8, 'expert_parallel': True}
    >>> degrees_said(Layout(dp=8, ep=8), "tensorrt-llm", experts=True)
    {'tp': 8, 'dp_attention': True, 'ep': 8}
    """
    tp, pp, dp, ep, cp, dcp, sp = (int(getattr(layout, name)) for name in DEGREES)
    if cp > 1 or sp > 1:
        msg = f"launch {engine}: no flag that is written here says {'cp' if cp > 1 else 'sp'}; ask with cp 1, sp 1"
        raise UsageError(msg)
    shared = experts and dp > 1 and ep > 1
    if engine == "vllm":
        own = _of_vllm(tp, dp, ep, experts=experts)
    elif shared and ep != tp * dp:
        msg = f"launch {engine}: ep {ep}: with attention data-parallel, experts are over all {tp * dp} devices"
        raise UsageError(msg)
    elif engine == "tensorrt-llm":
        own = _of_tensorrt_llm(tp, dp, ep, shared=shared)
    else:
        attention: dict[str, Said] = {"dp_attention": True} if shared else {}
        own = {"tp": tp * dp if shared else tp, "dp": dp, **attention, "ep": ep}
    said: dict[str, Said] = {"pp": pp, "dcp": dcp, **own}
    return {name: degree for name, degree in said.items() if degree != 1 or degree is True}


def can_launch(layout: Layout, engine: str, *, experts: bool) -> bool:
    """Whether an engine whose argument list is known runs such a layout; any layout of an engine without a list.

    >>> [can_launch(Layout(tp=2, dp=4, ep=8), engine, experts=True) for engine in ("tensorrt-llm", "vllm")]
    [False, True]
    """
    if engine not in launched_engines():
        return True
    try:
        said = degrees_said(layout, engine, experts=experts)
    except UsageError:
        return False
    return all(meaning in launch_flags(engine).by_meaning for meaning in said)


def _of_vllm(tp: int, dp: int, ep: int, *, experts: bool) -> dict[str, Said]:
    """vLLM: data parallel ranks, over which experts are spread where that is asked for."""
    if experts and ep == 1 and dp > 1:
        msg = "launch vllm: replicas of experts; data parallel ranks share them. Ask with ep, or start each by itself"
        raise UsageError(msg)
    if ep not in (1, tp * dp):
        msg = f"launch vllm: ep {ep}: expert parallelism is over all {tp * dp} devices of tp and dp"
        raise UsageError(msg)
    return {"tp": tp, "dp": dp, **({"expert_parallel": True} if ep > 1 else {})}


def _of_tensorrt_llm(tp: int, dp: int, ep: int, *, shared: bool) -> dict[str, Said]:
    """TensorRT-LLM: attention by data parallelism over all ranks of tp, or by tensors; a server is one replica."""
    if not shared:
        if dp > 1:
            msg = f"launch tensorrt-llm: a server is one replica, and these are {dp}; ask for one, and start each"
            raise UsageError(msg)
        return {"tp": tp, "ep": ep}
    if tp > 1:
        msg = (
            f"launch tensorrt-llm: attention is data-parallel over all {tp * dp} devices, or not at all; ask with tp 1"
        )
        raise UsageError(msg)
    return {"tp": dp, "dp_attention": True, "ep": ep}


def degrees_of(line: LaunchLine) -> dict[str, int]:
    """The degrees of a line, in our terms. Raises UsageError for those that contradict each other."""
    said = line.by_meaning
    tp, pp, dp, dcp = (int(said.get(name, 1)) for name in ("tp", "pp", "dp", "dcp"))
    ep = tp * dp if said.get("expert_parallel") else int(said.get("ep", 1))
    if said.get("dp_attention"):
        if line.engine == "tensorrt-llm":
            dp = tp
        if tp % dp:
            msg = f"from: attention data-parallel by {dp} does not divide {tp} devices of tp"
            raise UsageError(msg)
        if dp > 1 and ep != tp:
            msg = f"from: attention data-parallel with ep {ep} on {tp} devices is not modelled; expected ep {tp}"
            raise UsageError(msg)
        tp //= dp
    return {"tp": tp, "pp": pp, "dp": dp, "ep": ep, "cp": 1, "dcp": dcp, "sp": 1}
