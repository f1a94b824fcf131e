"""Storage optimisation as a transform of a program: pruning, quantisation and sparsity, in this order."""

from __future__ import annotations

from fractions import Fraction

from roofline.classes import frozen
from roofline.compression.pruning import pruned, read_pruning
from roofline.compression.quantization import quantized, storage_notes
from roofline.compression.recipes import Recipe
from roofline.compression.sparsity import Sparsity, read_sparsity, sparse
from roofline.compression.weight_matmuls import contracted_per_head, layer_matrices
from roofline.number import as_fraction, product
from roofline.options import groups
from roofline.program.axes import rebind
from roofline.program.program import Program
from roofline.program.workload import DTYPE_BYTES


@frozen
class Compression:
    """What is pruned, and which zeros are left out; how the rest is stored is the recipe's."""

    pruning: tuple[tuple[str, Fraction], ...] = ()
    sparsity: Sparsity | None = None

    @property
    def words(self) -> str:
        """The compression as it is asked for; empty for none."""
        parts = ",".join(f"{part}={float(amount):g}" for part, amount in self.pruning)
        words = [f"pruned {parts}"] if parts else []
        return ", ".join([*words, *([f"sparsity {self.sparsity.words}"] if self.sparsity else [])])


NOTHING = Compression()


def read_compression(asked: groups.Compression) -> Compression:
    """What options ask for. Raises UsageError, in one line, for what they cannot."""
    prune, sparsity = asked["prune"], asked["sparsity"]
    parts = {} if prune is None else read_pruning(prune)
    return Compression(tuple(parts.items()), None if sparsity is None else read_sparsity(sparsity))


def compressed(
    program: Program, compression: Compression, recipe: Recipe, gain: float = 1.0
) -> tuple[Program, tuple[str, ...]]:
    """The program as it is stored, and what the reader should know of it.

    ``gain`` is how much faster than dense the device does a 2:4 matmul. Raises WorkloadError for a part that the
    program does not have.
    """
    smaller = pruned(program, dict(compression.pruning))
    notes = [f"pruned: {change}" for change in smaller.changes]
    stored = quantized(smaller.program, recipe)
    notes += storage_notes(stored, recipe)
    if compression.sparsity is None:
        return stored, tuple(notes)
    notes += _sparsity_notes(stored, compression.sparsity, recipe, gain)
    return sparse(stored, compression.sparsity, gain), tuple(notes)


def _sparsity_notes(program: Program, sparsity: Sparsity, recipe: Recipe, gain: float) -> list[str]:
    """What the format costs, and the density below which it weighs less than dense, for the layers' matrices."""
    if sparsity.kind == "2:4":
        if gain == 1:
            return ["sparsity 2:4: this device does not accelerate it, so the weights stay dense: nothing is gained"]
        return [f"sparsity 2:4: two bits beside each of two kept weights of four; matmuls {gain:g} x as fast as dense"]
    width = DTYPE_BYTES[recipe.weights.dtype]
    even = {sparsity.break_even(width, *shape) for shape in _shapes(program)}
    if not even:
        return [f"sparsity {sparsity.words}: no matrix of the layers to leave zeros out of"]
    low, high = (f"{float(end):.4g}" for end in (min(even), max(even)))
    span = low if low == high else f"{low} to {high}, by matrix"
    density = float(sparsity.density)
    verdict = "weighs less" if density < min(even) else "WEIGHS MORE" if density > max(even) else "weighs less in part"
    note = f"sparsity {sparsity.words}: breaks even at density {span}; at density {density:g} it {verdict} than dense"
    ways = {
        "csr": "csr is multiplied on the vector unit",
        "bitmap": "a bitmap is unpacked and multiplied dense",
        "block": "blocks are multiplied on the matrix unit, empty ones left out",
    }
    return [note, ways[sparsity.kind]]


def _shapes(program: Program) -> set[tuple[Fraction, Fraction]]:
    """Depth and outputs of the layers' matrices."""
    fixed, found = contracted_per_head(program.groups), set()
    for group in program.groups:
        for op in group.ops:
            sizes = rebind(group.sizes(program.sizes), op.local)
            for m in layer_matrices(group, op, fixed):
                depth, out = (as_fraction(product(sizes[letter] for letter in axes)) for axes in (m.depth, m.out))
                found.add((depth, out))
    return found
