"""Quantisation as a transform of a program: layers do not know of it.

The matmuls with weights inside the layers read narrow weights with their scales and, if the recipe has narrow
activations, what a ``quantize`` operator before them wrote. Embeddings, norms, biases, routers and whatever writes a
vocabulary stay in 16 bits, as published checkpoints leave them (the ``ignore`` lists of GPTQ, AWQ, FP8 and NVFP4 ones);
so do weights that are contracted per head (the up-projections that latent attention absorbs). Modules that a checkpoint
stores otherwise are those of its recipe's rules; layers of one kind that they tell apart become groups of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from roofline.classes import frozen
from roofline.compression.by_tensor import in_types, types_in_words
from roofline.compression.formats import Format
from roofline.compression.recipes import Recipe, computes_in
from roofline.compression.weighed import as_weighed
from roofline.compression.weight_matmuls import Matrix, contracted_per_head, layer_matrices, mapped
from roofline.errors import WorkloadError
from roofline.number import Number, ceil_div, product
from roofline.program.axes import Binding, Sizes, rebind, size_of
from roofline.program.merging import QUANTIZE
from roofline.program.op import Op, Tensor, Work
from roofline.program.program import Group, Program

QUANTIZE_FLOPS = 3  # largest magnitude, times its reciprocal, round
_SCALE_OF = ".scale"  # the scales of an activation are named after it
_CONVERT, _SCALE, _ZERO = 1, 1, 1  # vector FLOPs to turn a stored element into a number


def quantized(program: Program, recipe: Recipe) -> Program:
    """``program`` with weights, activations and caches stored as ``recipe`` says.

    FLOPs of the contractions and parameters stay; bytes, vector work and the dtype of the matmuls change.
    Raises WorkloadError for a traced module.
    """
    if recipe.quantizes and program.anonymous:
        msg = f"{recipe.name}: nothing says which matrices of a traced module it stores so; take bf16, fp16 or fp32"
        raise WorkloadError(msg)
    stored = replace(program, groups=quantized_groups(program.groups, recipe)) if recipe.quantizes else program
    return as_weighed(stored, recipe.weighed)


def quantized_groups(groups: tuple[Group, ...], recipe: Recipe) -> tuple[Group, ...]:
    """The same for groups that are no whole program."""
    if not recipe.quantizes:
        return groups
    fixed = contracted_per_head(groups)
    parts = (part for group in groups for part in _told_apart(group, groups, recipe))
    return tuple(_quantized_group(group, recipe, fixed, layer) for group, layer in parts)


def _told_apart(group: Group, groups: tuple[Group, ...], recipe: Recipe) -> list[tuple[Group, int]]:
    """The group, or one for each way in which the rules of a recipe store its layers, with a layer that is stored so.

    The weights of all groups of one name decide, so that its phases are parted alike.
    """
    numbers = group.numbers
    if not recipe.rules or not numbers:
        return [(group, 0)]
    same = [op for other in groups if other.name == group.name for op in other.ops]
    names = sorted({tensor.name for op in same for tensor in op.reads if tensor.role == "weight"})
    ways: dict[tuple[int | None, ...], list[int]] = {}
    for layer in numbers:
        ways.setdefault(tuple(recipe.rule_of(name, layer) for name in names), []).append(layer)
    if len(ways) == 1:
        return [(group, numbers[0])]
    return [
        (replace(group, name=f"{group.name}.{at}" if at else group.name, repeat=len(own), numbers=tuple(own)), own[0])
        for at, own in enumerate(ways.values())
    ]


def left_alone(program: Program) -> dict[str, int]:
    """The weights of a quantised program that keep the dtype of the rest, by name, and how many parameters each has."""
    left: dict[str, int] = {}
    for group, op, tensor in program.weights():
        if not tensor.dtype:
            left[tensor.name] = left.get(tensor.name, 0) + int(program.resident(group, op, tensor, program.sizes))
    return dict(sorted(left.items(), key=lambda item: -item[1]))


def is_scale(tensor: Tensor) -> bool:
    """Whether a tensor holds scales or zero points: each device has those of its own part, and none are added up."""
    return tensor.role == "scale" or (tensor.role == "activation" and tensor.name.endswith(_SCALE_OF))


def storage_notes(program: Program, recipe: Recipe) -> list[str]:
    """In which format what is stored, and which weights a recipe leaves alone."""
    named = [(name, form) for pair in recipe.pairs for name, form in zip(("weights", "activations"), pair, strict=True)]
    told = dict.fromkeys((name, form) for name, form in [*named, ("KV cache", recipe.kv_cache)] if form.is_narrow)
    notes = [f"{name} {form.name}: {form.words}" for name, form in told]
    if recipe.lacking:
        notes.append(f"no {recipe.lacking} matmuls here: its weights are widened and multiplied in {recipe.base}")
    if recipe.by_tensor:
        notes.append(types_in_words(program, recipe.name))
    elif any(form.is_narrow for form, _ in recipe.pairs):
        left = left_alone(program)
        most = ", ".join(f"{name} {number:,}" for name, number in list(left.items())[:3])
        others = f" and {len(left) - 3} more tensors" if len(left) > 3 else ""
        share = sum(left.values()) / int(program.parameters())
        notes.append(f"left in {recipe.precision.weights}: {share:.2%} of the parameters ({most}{others})")
    return notes + ([recipe.weighed.words] if recipe.weighed.words else [])


def _quantized_group(group: Group, recipe: Recipe, fixed: set[tuple[str, str]], layer: int) -> Group:
    """The group as it is stored; a tower of images stays wide, as published recipes leave it."""
    if group.in_tower:
        return group
    ops = _with_narrow_caches(group.ops, recipe.kv_cache) if recipe.kv_cache.scale else group.ops
    if recipe.by_tensor:
        return in_types(replace(group, ops=ops), recipe, layer)
    found: list[Op] = []
    fresh: set[tuple[str, str]] = set()
    for op in ops:
        matrices = layer_matrices(group, op, fixed)
        stored = [recipe.formats(m.weight.name, layer, routed=bool(m.lead)) for m in matrices]
        narrow = [(m, weights) for m, (weights, _) in zip(matrices, stored, strict=True) if weights.is_narrow]
        if not narrow:
            found.append(op)
        else:
            alike = len(set(stored)) == 1  # else what they read in common stays wide
            activations = stored[0][1] if alike and stored[0][1].scale else None
            source = (matrices[0].x.name, activations.name if activations else "")
            if activations and source not in fresh:
                found.append(_quantize(matrices[0], activations, op))
                fresh.add(source)
            found.append(_narrow_matmul(op, narrow, activations, recipe.unit_scaled))
        written = {tensor.name for tensor in op.writes}
        fresh = {each for each in fresh if each[0] not in written}
    return replace(group, ops=tuple(found))


# Matmuls


def _narrow_matmul(
    op: Op, stored: list[tuple[Matrix, Format]], activations: Format | None, unit_scaled: tuple[str, ...]
) -> Op:
    """The matmul with narrow weights, their scales, narrow activations, and the work of turning them into numbers."""
    first, form = stored[0]
    matrices = [m for m, _ in stored]
    narrow = {m.weight.name: replace(m.weight, dtype=own.dtype) for m, own in stored}
    scaled = stored[:1] if form.breadth > 1 else stored  # blocks: one tensor of scales for all parts
    extra = [scale for m, own in scaled for scale in _scales(m, own)]
    local = dict(op.local) | _groups("z", matrices, form, op)
    if activations:
        values, *scales = _narrow_activation(first, activations)
        narrow[values.name.removesuffix(_NARROW)] = values
        extra += scales
        local |= _groups("i", [first], activations, op)
    changed = mapped(op, lambda tensor: narrow.get(tensor.name, tensor))
    work = [work for m, own in stored for work in _dequantize_work(m, own, activations, unit_scaled)]
    return replace(changed, reads=(*changed.reads, *extra), work=(*changed.work, *work), local=local)


def _scales(matrix: Matrix, form: Format) -> list[Tensor]:
    """The scales of a weight, its zero points, and the scale of all of it."""
    stored = dict(zip(matrix.weight.letters, (matrix.weight.stored or matrix.weight.axes).split(), strict=True))
    per = [*(["z"] if form.depth else []), *(matrix.out if form.breadth == 1 else ())]

    def scale(suffix: str, own: list[str], dtype: str) -> Tensor:
        axes = [*matrix.lead, *own]
        held = " ".join(stored.get(letter, letter) for letter in axes)
        touched = " ".join(axes)
        return Tensor(f"{matrix.weight.name}.{suffix}", touched, "scale", held if held != touched else "", dtype=dtype)

    found = [scale("scale", per, form.scale)] if form.scale else []
    found += [scale("zero", per, form.zero)] if form.zero else []
    return found + ([scale("outer", [], form.outer)] if form.outer else [])


@frozen
class ScaleGroups:
    """How many groups with a scale: along the contracted axes, ``depth`` elements each, times those across outputs.

    ``across`` are the outputs of a block of ``breadth``, a tuple of letters for each matrix; empty for a scale each.
    """

    along: tuple[str, ...]
    depth: int
    across: tuple[tuple[str, ...], ...]
    breadth: int
    local: Mapping[str, Binding]

    def __call__(self, sizes: Sizes) -> Number:
        """The number of groups."""
        bound = rebind(sizes, self.local)
        along = ceil_div(_elements(self.along, bound), self.depth)
        if not self.across:
            return along
        return along * sum(ceil_div(_elements(out, bound), self.breadth) for out in self.across)


def _groups(letter: str, matrices: list[Matrix], form: Format, op: Op) -> dict[str, Binding]:
    """What z or i is in an operator."""
    if not form.depth:
        return {}
    across = tuple(m.out for m in matrices) if form.breadth > 1 else ()
    return {letter: ScaleGroups(matrices[0].depth, form.depth, across, form.breadth, dict(op.local))}


def _elements(letters: tuple[str, ...], sizes: Sizes) -> Number:
    return product(size_of(letter, sizes) for letter in letters)


@frozen
class GroupSums:
    """The sums over groups of ``depth`` contracted elements that outputs are added up from."""

    out: tuple[str, ...]
    along: tuple[str, ...]
    depth: int

    def __call__(self, sizes: Sizes) -> Number:
        """How many there are."""
        return _elements(self.out, sizes) * ceil_div(_elements(self.along, sizes), self.depth)


def _dequantize_work(
    matrix: Matrix, form: Format, activations: Format | None, unit_scaled: tuple[str, ...]
) -> list[Work]:
    """Vector work inside a matmul: weights turned into the dtype that it computes in, or its outputs scaled.

    A weight that is converted once per use; a scale for groups of narrow products is applied to each group's sum, one
    for whole rows to the output; units that take scales in hardware do neither. Of experts' kernels rows on such a unit
    do not tell (8.6 % off without that work, 8.9 % with it): they keep it.
    """
    narrow = activations is not None
    if form.native and activations and activations.native:
        return []
    alike = activations is not None and activations.depth and form.dtype == activations.dtype
    if alike and form.depth and form.dtype in unit_scaled and not matrix.lead:
        return []
    if not activations or form.dtype != computes_in(form, activations):
        grouped = bool(form.depth or form.block)
        per = _CONVERT + (_SCALE if grouped else 0) + (_ZERO if form.zero else 0)
        work = [Work("vector", per, matrix.weight.letters)]
        return work if grouped and not narrow else [*work, Work("vector", _SCALE, matrix.y.letters)]
    if form.depth:
        sums = GroupSums(tuple(matrix.y.letters), tuple(matrix.depth), form.depth)
        return [Work("vector", 2 * _SCALE, matrix.y.letters, formula=sums)]
    return [Work("vector", 2 * _SCALE, matrix.y.letters)]


# Activations


_NARROW = ".narrow"


def _narrow_activation(matrix: Matrix, form: Format) -> list[Tensor]:
    """The narrow copy of what a matmul reads, and its scales: one for each token, for groups of it, or for all."""
    x = matrix.x
    tokens = [letter for letter in x.letters if letter not in matrix.depth]
    per = " ".join([*tokens, "i"] if form.depth else tokens if form.breadth else [])
    values = replace(x, name=x.name + _NARROW, dtype=form.dtype)
    return [values, Tensor(x.name + _SCALE_OF, per, dtype=form.scale)]


def _quantize(matrix: Matrix, form: Format, op: Op) -> Op:
    """The operator that writes the narrow copy: one kernel, which reads the activation once."""
    values, scale = _narrow_activation(matrix, form)
    work = (Work("vector", QUANTIZE_FLOPS, matrix.x.letters),)
    local = dict(op.local) | _groups("i", [matrix], form, op)
    return Op(f"{op.name}{QUANTIZE}", "quantize", (matrix.x,), (values, scale), work, local)


# KV cache


def _with_narrow_caches(ops: tuple[Op, ...], form: Format) -> tuple[Op, ...]:
    """New keys and values stay wide until the last operator that writes them; then one operator stores them narrow.

    A scale of a whole layer is the checkpoint's and read, one of each token and head is found and written.
    A cache that no operator writes token by token (a state) stays as it is.
    """
    slices: dict[str, Tensor] = {}
    last = -1
    for place, op in enumerate(ops):
        for tensor in op.writes:
            if tensor.role == "kv_cache" and "T" in tensor.letters:
                slices[tensor.name] = tensor
                last = place
    if not slices:
        return tuple(_reading_narrow(op, {each.name for each in op.reads if each.borrowed}, form) for op in ops)
    wide = {name: Tensor(f"{name}.new", tensor.axes) for name, tensor in slices.items()}
    before = [mapped(op, lambda tensor: wide.get(tensor.name, tensor)) for op in ops[: last + 1]]
    after = [_reading_narrow(op, set(slices), form) for op in ops[last + 1 :]]
    stored = [part for tensor in slices.values() for part in _narrow_cache(tensor, form)]
    known = [] if form.breadth else [part for part in stored if part.name not in slices]
    written = [part for part in stored if part not in known]
    work = tuple(Work("vector", QUANTIZE_FLOPS, tensor.letters) for tensor in slices.values())
    store = Op("kv.quantize", "elementwise", (*wide.values(), *known), tuple(written), work, ops[last].local)
    return (*before, store, *after)


def _narrow_cache(tensor: Tensor, form: Format) -> list[Tensor]:
    """A cache, or a slice of it, in its narrow dtype, with a scale for each token and head, or for all of it."""
    found = [replace(tensor, dtype=form.dtype)]
    for suffix, dtype in (("scale", form.scale), ("zero", form.zero)):
        if dtype:
            axes, stored = (_without_last(text) if form.breadth else "" for text in (tensor.axes, tensor.stored))
            found.append(
                Tensor(f"{tensor.name}.{suffix}", axes, "kv_cache", stored, dtype=dtype, borrowed=tensor.borrowed)
            )
    return found


def _without_last(axes: str) -> str:
    return " ".join(axes.split()[:-1])


def _reading_narrow(op: Op, names: set[str], form: Format) -> Op:
    """An operator that reads narrow caches: their scales with them, and the work of turning them into numbers."""
    caches = [tensor for tensor in op.reads if tensor.name in names]
    if not caches:
        return op
    extra = [part for tensor in caches for part in _narrow_cache(tensor, form)[1:]]
    changed = mapped(op, lambda tensor: replace(tensor, dtype=form.dtype) if tensor.name in names else tensor)
    per = _CONVERT + (_SCALE if form.breadth else 0) + (_ZERO if form.zero else 0)
    work = tuple(Work("vector", per, tensor.letters) for tensor in caches)
    return replace(changed, reads=(*changed.reads, *extra), work=(*changed.work, *work))
