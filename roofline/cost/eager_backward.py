"""What eager torch runs in a backward pass for an operator: autograd's kernels, each with traffic of its own.

Where a module writes a function out, autograd pushes gradients back through each of its operations.

Source: the modules of transformers 5 and torch's derivatives, as seen by TorchDispatchMode in fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from roofline.number import Number, exact
from roofline.program.axes import Sizes, size_of
from roofline.program.op import Op, PerElement, Tensor, elementwise


def kernel(name: str, reads: int, output: Tensor, *, over: Tensor | None = None, kind: str = "elementwise") -> Op:
    """One call of torch on so many tensors of the axes of ``over``, by default those of what it writes."""
    axes = (over or output).axes
    tensors = [Tensor(f"read_{index}", axes) for index in range(reads)]
    return elementwise(name, tensors, Tensor("written", output.axes), PerElement(1, over=over), kind=kind)


def _half(sizes: Sizes) -> Number:
    return size_of("H", sizes) / exact(2)


def _gradient_of_input(op: Op) -> Tensor:
    """The largest of what a step writes: the gradient of its input, not those of its gains."""
    return max(op.writes, key=lambda tensor: len(tensor.letters))


def rms_norm(op: Op) -> tuple[Op, ...]:
    """Back through x / sqrt(mean(x^2) + eps) times a gain: the mean's gradient is spread over its row again."""
    x = _gradient_of_input(op)
    row = Tensor("statistic", " ".join(x.letters[:-1]))
    gains = [tensor for tensor in op.writes if len(tensor.letters) < len(x.letters)]
    of_gains = [
        step
        for gain in gains
        for step in (kernel("mul", 1, x), kernel("mul", 2, x), kernel("sum", 1, Tensor("gain", gain.axes), over=x))
    ]
    to_row = (kernel("mul", 2, x), kernel("mul", 1, x), kernel("sum", 1, row, over=x))
    of_row = (kernel("pow", 1, row), kernel("mul", 1, row), kernel("mul", 2, row))
    to_x = (kernel("div", 0, x), kernel("pow", 1, x), kernel("mul", 1, x), kernel("mul", 2, x), kernel("add", 2, x))
    return (*of_gains, *to_row, *of_row, *to_x)


def layer_norm(op: Op) -> tuple[Op, ...]:
    """One kernel."""
    return (replace(op, name="native_layer_norm_backward", kind="norm"),)


def rotation(op: Op) -> tuple[Op, ...]:
    """Back through x cos + rotate_half(x) sin: each half is put into zeros of full width, and all is added."""
    x = _gradient_of_input(op)
    halved = replace(kernel("neg", 1, x), local={"H": _half})
    put = kernel("slice_backward", 1, x, kind="copy")
    return (kernel("mul", 1, x), halved, put, put, kernel("add", 2, x), kernel("mul", 1, x), kernel("add", 2, x))


def activation(name: str) -> Callable[[Op], tuple[Op, ...]]:
    """Back through the product with a gate, to both, and through the function."""

    def kernels(op: Op) -> tuple[Op, ...]:
        x = _gradient_of_input(op)
        gated = (kernel("mul", 2, x), kernel("mul", 2, x)) if len(op.writes) > 1 else ()
        special = 0 if name in ("relu", "tanh") else 1
        reads = [Tensor(f"read_{index}", x.axes) for index in range(2)]
        own = elementwise(
            "threshold_backward" if name == "relu" else f"{name}_backward", reads, Tensor("written", x.axes),
            PerElement(2, special=special),
        )  # fmt: skip
        return (*gated, own)

    return kernels


def written_out_gelu(op: Op) -> tuple[Op, ...]:
    """Back through 0.5 x (1 + tanh(a (x + b x^3))), operation by operation."""
    x = _gradient_of_input(op)
    gated = (kernel("mul", 2, x), kernel("mul", 2, x)) if len(op.writes) > 1 else ()
    to_tanh = (kernel("mul", 2, x), kernel("mul", 2, x), kernel("tanh_backward", 2, x))
    cube = (kernel("mul", 1, x), kernel("mul", 1, x), kernel("pow", 1, x), kernel("mul", 1, x), kernel("mul", 2, x))
    return (*gated, *to_tanh, *cube, kernel("add", 2, x), kernel("mul", 1, x), kernel("add", 2, x))


def loss(op: Op) -> tuple[Op, ...]:
    """Zeros with one number in each row, then back through the logarithms of probabilities."""
    x = _gradient_of_input(op)
    reads = [Tensor(f"read_{index}", x.axes) for index in range(2)]
    back = elementwise("_log_softmax_backward_data", reads, Tensor("written", x.axes), PerElement(3, special=1),
                       kind="softmax")  # fmt: skip
    return kernel("nll_loss_backward", 0, x, kind="copy"), back


BACKWARD: dict[str, Callable[[Op], tuple[Op, ...]]] = {
    "layer_backward": layer_norm, "layer_gain_backward": layer_norm, "layer_bare_backward": layer_norm,
    "rms_backward": rms_norm, "rms_bare_backward": rms_norm, "rotary_backward": rotation,
    **{f"{name}_backward": activation(name) for name in ("relu", "gelu", "silu", "tanh")},
    "gelu_new_backward": written_out_gelu, "cross_entropy_written_out_backward": loss,
}  # fmt: skip
"""By function: what an operator's backward pass runs."""
