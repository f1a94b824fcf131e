"""One run of a module over tensors without data, whose sizes are letters: every call of torch is noted."""

from __future__ import annotations

import bisect
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any, TypeAlias

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.nn.attention import flex_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from roofline.classes import frozen
from roofline.errors import UsageError
from roofline.models.traced.calls import ATTENTION_BACKWARD, FLEX, Access, Attended, Call, Kind, Recording, Value, Visit
from roofline.models.traced.extents import Extent, Reader
from roofline.program.op import Role
from roofline.tracing import aten
from roofline.tracing.work import (
    attended,
    attended_sizes,
    contraction,
    count,
    element_work,
    expression,
    operands,
    written_names,
)

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  (asked for each frame)
_TORCH = os.path.dirname(os.path.abspath(torch.__file__))  # noqa: PTH100, PTH120
_IDLE = {
    "device",
    "sym_size",
    "sym_stride",
    "sym_numel",
    "sym_storage_offset",
    "is_contiguous",
    "is_strides_like_format",
}
_WIDE = {torch.float64: 2, torch.complex64: 2, torch.complex128: 4}
_NAMES = {
    torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32", torch.float64: "fp32",
    torch.complex64: "fp32", torch.complex128: "fp32", torch.bool: "int8", torch.int8: "int8", torch.uint8: "int8",
    torch.int32: "fp32", torch.float8_e4m3fn: "fp8", torch.float8_e5m2: "fp8", torch.float8_e4m3fnuz: "fp8",
    torch.float8_e5m2fnuz: "fp8",
}  # fmt: skip

QUANTIZED = frozenset(dtype for dtype, name in _NAMES.items() if name == "fp8") | {torch.int8}
"""Dtypes of buffers that are weights which are stored so."""


_MOST_OF_ONE = 300
"""Calls of one line in one module that reads its tokens at once: a loop over experts or windows makes fewer."""

_Touched: TypeAlias = tuple[Sequence[Any], Sequence[Any]]
_AS_THEY_ARE: _Touched = ([], [])


class Recorder:
    """Notes calls and values. ``main``: the dtype of the module's weights, which a prediction replaces by its own.

    ``training``: whether the passes of a training step are noted; ``backward`` is the place of the first call of the
    second.
    """

    def __init__(
        self, fake: FakeTensorMode, reader: Reader, main: torch.dtype | None, *, training: bool = False
    ) -> None:
        self.fake, self.reader, self.main, self.training = fake, reader, main, training
        self.backward: int | None = None
        self._made: list[_Origin] = []
        self._origin = _NOWHERE
        self.calls: list[Call] = []
        self.values: list[Value] = []
        self.inside: list[Visit] = []
        self.leaves: set[str] = set()
        self.visits: dict[str, int] = {}
        self.off = False
        self.asked: list[str] = []
        self.inner: set[int] = set()
        self._current: dict[int, int] = {}
        self._often: dict[tuple[str, str, tuple[Visit, ...]], int] | None = None
        self._kept: list[Any] = []  # a storage that was freed would give its number to another

    # Values

    def known(self, tensor: Any, role: Role, name: str) -> int:
        """A parameter, a buffer or an input as a value."""
        return self._value(tensor, role, name)

    def _value(self, tensor: Any, role: Role | None = None, name: str = "") -> int:
        key = storage_of(tensor)
        before = self._current.get(key)
        if before is None:
            self._kept.append(tensor)
            whole = self._elements(tensor)
            value = Value(key, role or self._role(tensor), self._dtype(tensor), whole, name)
        else:
            value = self.values[before]
        self.values.append(value)
        self._current[key] = len(self.values) - 1
        return self._current[key]

    def _role(self, tensor: Any) -> Role:
        return "activation" if tensor.dtype in _NAMES or tensor.is_floating_point() else "index"

    def _dtype(self, tensor: Any) -> str:
        if tensor.dtype == self.main or tensor.dtype not in _NAMES:
            return ""
        return _NAMES[tensor.dtype]

    def _elements(self, tensor: Any) -> Extent:
        """The elements that a tensor touches in its storage: an expanded axis is one and the same."""
        sizes = [expression(size) for size, step in zip(tensor.shape, tensor.stride(), strict=True) if _steps(step)]
        return self.product([*sizes, _WIDE.get(tensor.dtype, 1)])

    def product(self, sizes: Sequence[Any]) -> Extent:
        """The product of expressions of torch."""
        total: Any = 1
        for size in sizes:
            total = total * size
        return self.reader.read(total)

    def read(self, tensor: Any) -> Access:
        """A tensor as what a call reads: a constant that nobody made before is an input."""
        key = storage_of(tensor)
        value = self._current.get(key)
        if value is None:
            value = self._value(
                tensor, "index" if self._role(tensor) == "index" else "input", f"constant{len(self._kept)}"
            )
        return self._access(value, tensor)

    def write(self, tensor: Any) -> Access:
        """A tensor as what a call writes: a new value of its storage."""
        return self._access(self._value(tensor), tensor)

    def _access(self, value: int, tensor: Any) -> Access:
        sizes = [
            expression(size) if _steps(step) else 1 for size, step in zip(tensor.shape, tensor.stride(), strict=True)
        ]
        part = f"{tensor.storage_offset()} {tuple(tensor.shape)} {tensor.stride()}"
        rows = self.product([*sizes[:-1], _WIDE.get(tensor.dtype, 1)])
        return Access(value, self._elements(tensor), rows, self.product(sizes[-1:]), part)

    # Calls

    def note(self, function: Any, args: Any, kwargs: Any, result: Any) -> None:
        """A call of the dispatcher."""
        name = aten.plain_name(function)
        self.note_guards(inner=True)
        if self.off or function.namespace == "prim" or name in _IDLE or name.startswith("sym_"):
            return
        kind = aten.kind_of(function)
        outputs = tensors_in((result,))
        if kind in ("view", "empty") or (not outputs and not function._schema.is_mutable):
            return
        inputs = tensors_in((*args, *kwargs.values()))
        held = {storage_of(tensor) for tensor in inputs}
        changed = written_names(function, args, kwargs)
        if not function._schema.is_mutable and outputs and all(storage_of(each) in held for each in outputs):
            return
        overwritten = (
            {storage_of(each) for each in changed} if aten.base_name(name) in ("copy", "fill", "zero") else set()
        )
        read = [] if kind == "fill" else [each for each in inputs if storage_of(each) not in overwritten]
        written = changed or outputs
        work = element_work(kind, name, args, inputs, outputs or changed)
        if name in aten.OVER_AN_AXIS and int(args[1]) % inputs[0].dim() != inputs[0].dim() - 1:
            kind = "reduction"  # no softmax of rows, which kernels of attention have
        shape = contraction(name, kind, args, outputs, self.reader)
        if kind == "attention":
            shape = attended(function, args, kwargs, self.reader)
        if kind == "matmul":
            pair = operands(name, args)
            read = [*pair, *(each for each in read if all(each is not one for one in pair))]
        like = {"gather": (outputs[:1], []), "scatter": ([], inputs[-1:])}.get(kind, _AS_THEY_ARE)
        self._call(aten.base_name(name), kind, (read, written), work, shape, like)

    def note_guards(self, *, inner: bool = False) -> None:
        """Which line of the user's has the code asked about letters since the last call, or torch ``inner`` one."""
        known = len(self.fake.shape_env.guards)
        if known > len(self.asked):
            self.inner.update(range(len(self.asked), known) if inner else ())
            line = called_from()[1]
            new = self.fake.shape_env.guards[len(self.asked) :]
            self.asked += [_line_of(guard) or line for guard in new]

    def attention(self, operands: Sequence[Any], mask: Any, outputs: Sequence[Any], shape: Attended) -> None:
        """A fused attention, which torch would take apart differently on each device."""
        read = [*operands, *([] if mask is None else [mask])]
        self._call("attention", "attention", (read, outputs), (0, 0), shape, _AS_THEY_ARE)

    def attention_backward(
        self, operands: Sequence[Any], mask: Any, kept: Sequence[Any], back: Sequence[Any], shape: Attended
    ) -> None:
        """Its backward pass: ``operands`` begin with the gradient; ``back`` are gradients of the others."""
        read = [*operands, *([] if mask is None else [mask]), *kept]
        self._call(ATTENTION_BACKWARD, "attention", (read, back), (0, 0), shape, _AS_THEY_ARE)

    def padding(self, given: Any, output: Any) -> None:
        """A copy with a border of constants."""
        self._call("constant_pad_nd", "pointwise", ([given], [output]), (0, 0), None, _AS_THEY_ARE)

    def resampling(self, given: Any, output: Any, *, nearest: bool) -> None:
        """Elements copied, or each made of its neighbours."""
        name = "upsample_nearest" if nearest else "upsample"
        work = 0 if nearest else aten.RESAMPLE_FLOPS * count(output)
        self._call(name, "pointwise" if nearest else "resample", ([given], [output]), (work, 0), None, _AS_THEY_ARE)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Notes nothing of what runs inside."""
        self.off = True
        try:
            yield
        finally:
            self.off = False

    @contextlib.contextmanager
    def forgotten(self) -> Iterator[None]:
        """Nothing of what runs inside is kept, but what the code asked of letters.

        Raises UsageError for a line that one module runs so often that it loops over the tokens.
        """
        calls, values, current, visits = len(self.calls), len(self.values), dict(self._current), dict(self.visits)
        self._often = {}
        yield
        self._often = None
        del self.calls[calls:], self.values[values:]
        self._current, self.visits = current, visits

    def _call(
        self, name: str, kind: Kind, touched: _Touched, work: tuple[Any, Any], shape: Any, like: _Touched
    ) -> None:
        """``touched``: what it reads and writes; ``like``: tensors as large as what is really touched of the first."""
        read, written = touched
        caller, where, inside = self._from()
        if self._often is not None:
            key = (name, where, inside)
            self._often[key] = self._often.get(key, 0) + 1
            if self._often[key] > _MOST_OF_ONE:
                msg = f"its code loops over the tokens before a step ({where}): no decode step is traced of it"
                raise UsageError(msg)
        reads = self._touching([self.read(tensor) for tensor in read], like[0])
        writes = self._touching([self.write(tensor) for tensor in written], like[1])
        path = inside[-1][0] if inside else ""
        self.calls.append(
            Call(
                len(self.calls), name, kind, path, inside, path in self.leaves, caller, where, reads,
                writes, self.reader.read(work[0]), self.reader.read(work[1]), shape,
            )
        )  # fmt: skip

    def _touching(self, accesses: list[Access], like: Sequence[Any]) -> tuple[Access, ...]:
        """The first of ``accesses`` as large as ``like``: a gather reads so many rows of a table, and no more."""
        if accesses and like:
            size = self._access(accesses[0].value, like[0])
            accesses[0] = replace(size, part=f"{accesses[0].part} {size.part}")
        return tuple(accesses)

    # The backward pass

    def note_origin(self) -> None:
        """Where the next node of autograd's graph comes from."""
        if self.training and self.backward is None:
            caller, where = called_from()
            self._made.append(_Origin(_next_node(), caller, where, tuple(self.inside)))

    def turn(self, result: Any) -> None:
        """The backward pass of ``result`` begins: each node of its graph runs where the call that made it ran."""
        self.backward = len(self.calls)
        self._origin = replace(self._made[-1], inside=()) if self._made else _NOWHERE
        after = [each.before for each in self._made]
        for node in _graph_of(result):
            place = bisect.bisect_right(after, node._sequence_nr())
            if place < len(self._made):
                node.register_prehook(partial(self._enter, self._made[place]))

    def _enter(self, origin: _Origin, _: Any) -> None:
        self._origin = origin

    def _from(self) -> tuple[str, str, tuple[Visit, ...]]:
        """The function and the line that a call comes from, and the modules that it runs in."""
        if self.backward is None or self.inside:
            return (*called_from(), tuple(self.inside))
        return self._origin.caller, self._origin.where, self._origin.inside

    def finished(
        self, returned: Any, unread: Sequence[tuple[str, Any]], blocks: frozenset[str],
        gradients: Sequence[tuple[Any, Any]] = (),
    ) -> Recording:  # fmt: skip
        """All that was noted; ``gradients`` are those of parameters, each with the parameter."""
        out = frozenset(self._current[storage_of(x)] for x in tensors_in((returned,)) if storage_of(x) in self._current)
        read = {self.values[access.value].storage for call in self.calls for access in call.reads}
        rest = [self.values[self._current[storage_of(x)]] for _, x in unread if storage_of(x) not in read]
        learning = tuple((storage_of(gradient), storage_of(parameter)) for gradient, parameter in gradients)
        out |= {self._current[own] for own, _ in learning if own in self._current}
        unread_ones = tuple(dict.fromkeys(rest))
        return Recording(tuple(self.calls), tuple(self.values), out, unread_ones, blocks, self.backward, learning)


@frozen
class _Origin:
    """Where a call came from: all nodes of autograd's graph made so far are numbered below ``before``."""

    before: int
    caller: str = ""
    where: str = ""
    inside: tuple[Visit, ...] = ()


_NOWHERE = _Origin(0)


def _next_node() -> int:
    return int(torch._C._autograd._get_sequence_nr())


def _graph_of(result: Any) -> Iterator[Any]:
    """The nodes of autograd's graph behind a tensor, each once, but for those of leaves."""
    seen, left = set[Any](), [result.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen or type(node).__name__ == "AccumulateGrad":
            continue
        seen.add(node)
        yield node
        left += [each for each, _ in node.next_functions]


class _Dispatched(TorchDispatchMode):  # type: ignore[misc]
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.recorder.note_guards()
        self.recorder.note_origin()
        result = function(*args, **(kwargs or {}))
        self.recorder.note(function, args, kwargs or {}, result)
        return result


class _Functions(TorchFunctionMode):  # type: ignore[misc]
    """Notes as one call what torch takes apart differently on each device, or refuses sizes of that are letters."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is _SDPA:
            return noted_attention(self.recorder, args, kwargs or {})
        if function is _FLEX:
            return noted_flex(self.recorder, *args)
        if function is _PAD:
            return noted_padding(self.recorder, *args, **(kwargs or {}))
        if function is _INTERPOLATE:
            return noted_resampling(self.recorder, *args, **(kwargs or {}))
        if function is _DROPOUT and self.recorder.training:
            return _fused_dropout(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


_SDPA, _PAD = torch.nn.functional.scaled_dot_product_attention, torch.nn.functional.pad
_EMPTY_MASK = flex_attention._create_empty_block_mask  # a constant once compiled
_FLEX = torch.ops.higher_order.flex_attention
_DROPOUT, _INTERPOLATE = torch.nn.functional.dropout, torch.nn.functional.interpolate


_SDPA_TAKES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")


def noted_attention(recorder: Recorder, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The output of an attention, without data, and the call noted."""
    given = {**dict(zip(_SDPA_TAKES, args, strict=False)), **kwargs}
    query, key, value = (given[name] for name in _SDPA_TAKES[:3])
    if recorder.training:
        causal = bool(given.get("is_causal"))
        return _Attention.apply(query, key, value, given.get("attn_mask"), causal, recorder)
    with recorder.silent():
        output = _attention_output(query, value)
    shape = attended_sizes(query, key, value, causal=bool(given.get("is_causal")), reader=recorder.reader)
    recorder.attention((query, key, value), given.get("attn_mask"), (output,), shape)
    return output


def noted_flex(
    recorder: Recorder, query: Any, key: Any, value: Any, change: Any, blocks: Sequence[Any], *_: Any
) -> tuple[Any, Any, Any]:
    """The outputs of torch's flex_attention, without data, and the call noted as one kernel over all pairs.

    ``change``: what it makes of scores. Raises UsageError for a mask of ``blocks``, whose pairs depend on data.
    """
    if any(isinstance(each, int) and 1 < each < flex_attention._LARGE_SPARSE_BLOCK_SIZE for each in blocks[-3:-1]):
        msg = (
            f"{called_from()[1]}: flex_attention has a block mask, and which pairs it leaves depends on data; give "
            "scaled_dot_product_attention(..., is_causal=True) for a causal one"
        )
        raise UsageError(msg)
    output = noted_attention(recorder, (query, key, value), {})
    if change is not flex_attention._identity:
        recorder.calls[-1] = replace(recorder.calls[-1], name=FLEX)
    with recorder.silent():
        sums, most = (query.new_empty(query.shape[:-1], dtype=torch.float32) for _ in range(2))
    return output, sums, most


def _without_notes(recorder: Recorder, function: Any, given: Sequence[Any]) -> Any:
    with recorder.silent():
        return function(*given)


def noted_padding(
    recorder: Recorder,
    input: Any,  # noqa: A002  (as torch calls it)
    pad: Sequence[Any],
    mode: str = "constant",
    value: float | None = None,
) -> Any:
    """A padded tensor, without data, and the call noted; what no constant fills, as torch has it."""
    if mode != "constant" or recorder.off:
        return _PAD(input, pad, mode, value)
    if recorder.training and input.requires_grad:
        return _Padding.apply(input, tuple(pad), recorder)
    return _padded(recorder, input, pad)


def _padded(recorder: Recorder, given: Any, pad: Sequence[Any]) -> Any:
    sizes = list(given.shape)
    for axis, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        sizes[-1 - axis] = sizes[-1 - axis] + before + after
    with recorder.silent():
        output = given.new_empty(sizes)
    recorder.padding(given, output)
    return output


def noted_resampling(
    recorder: Recorder,
    input: Any,  # noqa: A002  (as torch calls it)
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    *others: Any,
    **flags: Any,
) -> Any:
    """A tensor of other sizes, without data, and the call noted: torch fixes sizes that are letters here.

    A training step, which needs its derivative, and scales by halves are as torch has them.
    """
    axes = input.dim() - 2
    scales = scale_factor if isinstance(scale_factor, list | tuple) else [scale_factor] * axes
    if recorder.off or recorder.training or (size is None and any(float(each) % 1 for each in scales)):
        return _INTERPOLATE(input, size, scale_factor, mode, *others, **flags)
    sizes = [each * int(scale) for each, scale in zip(input.shape[2:], scales, strict=True)] if size is None else size
    with recorder.silent():
        output = input.new_empty((*input.shape[:2], *(sizes if isinstance(sizes, list | tuple) else [sizes] * axes)))
    recorder.resampling(input, output, nearest=mode.startswith("nearest"))
    return output


class _Padding(torch.autograd.Function):  # type: ignore[misc]
    """A copy with a border; its gradient is a part of what comes back."""

    @staticmethod
    def forward(ctx: Any, given: Any, pad: Sequence[Any], recorder: Recorder) -> Any:
        ctx.pad, ctx.sizes = pad, tuple(given.shape)
        recorder.note_origin()
        return _padded(recorder, given, pad)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (part,) = gradients
        for axis, before in enumerate(ctx.pad[::2]):
            part = part.narrow(-1 - axis, before, ctx.sizes[-1 - axis])
        return part, None, None


class _Attention(torch.autograd.Function):  # type: ignore[misc]
    """A fused attention, which keeps queries, keys, values, output and the logarithm of each row's sum."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, mask: Any, causal: bool, recorder: Recorder) -> Any:
        with recorder.silent():
            output = _attention_output(query, value)
            sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        shape = attended_sizes(query, key, value, causal=causal, reader=recorder.reader)
        recorder.note_origin()
        recorder.attention((query, key, value), mask, (output, sums), shape)
        ctx.save_for_backward(query, key, value, mask, output, sums)
        ctx.shape, ctx.recorder = shape, recorder
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        query, key, value, mask, output, sums = ctx.saved_tensors
        recorder: Recorder = ctx.recorder
        with recorder.silent():
            back = [torch.empty_like(each) for each in (query, key, value)]
        recorder.attention_backward((gradients[0], query, key, value), mask, (output, sums), back, ctx.shape)
        return (*back, None, None, None)


def _fused_dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: A002
    """One kernel with a mask of one byte for each element, as on a GPU, where torch has several on a CPU."""
    if inplace or not training or p == 0:
        return _DROPOUT(input, p, training, inplace)
    return torch.native_dropout(input, p, True)[0]


def _attention_output(query: Any, value: Any) -> Any:
    """The output of a fused kernel: the heads of a token lie beside each other."""
    *batch, tokens, _ = query.shape
    if not batch:
        return query.new_empty((tokens, value.shape[-1]))
    *outer, heads = batch
    return query.new_empty((*outer, tokens, heads, value.shape[-1])).transpose(-2, -3)


@contextlib.contextmanager
def recording(recorder: Recorder, module: Any) -> Iterator[None]:
    """Has ``recorder`` note what runs inside, with the modules of ``module`` by their paths."""
    paths = {id(each): name for name, each in module.named_modules()}
    recorder.leaves = {name for name, each in module.named_modules() if next(each.children(), None) is None}

    def enter(each: Any, _: Any) -> None:
        path = paths.get(id(each))
        if path is not None:
            recorder.visits[path] = recorder.visits.get(path, -1) + 1
            recorder.inside.append((path, recorder.visits[path]))

    def leave(each: Any, _: Any, __: Any) -> None:
        if id(each) in paths:
            recorder.inside.pop()

    patched = torch.nn.functional
    fast = torch.backends.mha.get_fastpath_enabled()
    with contextlib.ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        stack.callback(setattr, patched, "scaled_dot_product_attention", _SDPA)
        stack.callback(setattr, patched, "pad", _PAD)
        stack.callback(setattr, patched, "interpolate", _INTERPOLATE)
        stack.callback(setattr, flex_attention, "_create_empty_block_mask", _EMPTY_MASK)
        flex_attention._create_empty_block_mask = lambda *given: _without_notes(recorder, _EMPTY_MASK, given)
        for handle in (
            torch.nn.modules.module.register_module_forward_pre_hook(enter),
            torch.nn.modules.module.register_module_forward_hook(leave),
        ):
            stack.callback(handle.remove)
        torch.backends.mha.set_fastpath_enabled(False)
        patched.scaled_dot_product_attention = lambda *args, **kwargs: noted_attention(recorder, args, kwargs)
        patched.pad = lambda *args, **kwargs: noted_padding(recorder, *args, **kwargs)
        patched.interpolate = lambda *args, **kwargs: noted_resampling(recorder, *args, **kwargs)
        stack.enter_context(torch.enable_grad() if recorder.training else torch.no_grad())
        stack.enter_context(recorder.fake)
        stack.enter_context(_Functions(recorder))
        stack.enter_context(_Dispatched(recorder))
        yield


def fake_mode() -> FakeTensorMode:
    """Tensors without data, whose sizes may be letters or depend on data."""
    environment = ShapeEnv(allow_scalar_outputs=True, allow_dynamic_output_shape_ops=True)
    return FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True)


def storage_of(tensor: Any) -> int:
    """The number of a tensor's storage."""
    return int(tensor.untyped_storage()._cdata)


def tensors_in(values: Any) -> list[Any]:
    """All tensors in nested lists, tuples, mappings and outputs of transformers."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, dict):
            found += tensors_in(value.values())
        elif isinstance(value, list | tuple):
            found += tensors_in(value)
    return found


def _steps(stride: Any) -> bool:
    return isinstance(stride, torch.SymInt) or stride != 0


def _line_of(guard: Any) -> str:
    """The line that asked about a size, where it is none of torch's."""
    where: Any = getattr(guard.sloc, "framework_loc", None)
    file = getattr(where, "filename", "")
    return f"{file.rpartition('/')[2]}:{where.lineno}" if file and not file.startswith((_TORCH, _OURS)) else ""


def called_from() -> tuple[str, str]:
    """The function outside of torch that called last, and its line: ``model.py:12``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_TORCH, _OURS)) and "/contextlib.py" not in file:
            return frame.f_code.co_name, f"{file.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "", ""
