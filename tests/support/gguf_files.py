"""Small GGUF files, written with the package gguf from the program of a network and the types of a mix."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import gguf
import numpy as np

from roofline.compression.mixes import MIXES, Subject
from roofline.program.workload import BLOCKS

TYPES = {name: getattr(gguf.GGMLQuantizationType, name.removeprefix("gguf_").upper()) for name in BLOCKS}


Tensors: TypeAlias = dict[str, tuple[tuple[int, ...], str]]
"""Tensors by name: shape as numpy has it, the row last, and type."""


def write_gguf(file: Path, architecture: str, keys: dict[str, Any], tensors: Tensors) -> int:
    """A file with these keys of the architecture and these tensors, all zeros; the bytes of its tensors."""
    writer = gguf.GGUFWriter(file, architecture)
    for key, value in keys.items():
        name = f"{architecture}.{key}"
        writer.add_array(name, value) if isinstance(value, list) else writer.add_uint32(name, value)
    writer.add_token_list([f"token{at}" for at in range(7)])
    total = sum(_add(writer, name, shape, kind) for name, (shape, kind) in tensors.items())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return total


def _add(writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...], kind: str) -> int:
    if kind in ("fp32", "fp16"):
        data = np.zeros(shape, np.float32 if kind == "fp32" else np.float16)
        writer.add_tensor(name, data)
        return data.nbytes
    elements, size = BLOCKS[kind]
    packed = np.zeros((*shape[:-1], shape[-1] // elements * size), np.uint8)
    writer.add_tensor(name, packed, raw_dtype=TYPES[kind])
    return packed.nbytes


LLAMA = {
    "block_count": 8,
    "context_length": 4096,
    "embedding_length": 256,
    "feed_forward_length": 512,
    "attention.head_count": 8,
    "attention.head_count_kv": 2,
    "rope.dimension_count": 32,
}
"""The keys of a small Llama, four query heads to a key head."""

_SUBJECT = {"layers": 8, "group": 4, "is_70b": False}
_ATTENTION = {"attn_q": (256, 256), "attn_k": (64, 256), "attn_v": (64, 256), "attn_output": (256, 256)}
_DENSE = {"ffn_gate": (512, 256), "ffn_up": (512, 256), "ffn_down": (256, 512)}


def llama_tensors(mix: str, experts: int = 0) -> Tensors:
    """The tensors of that Llama in a mix, of Mixtral with ``experts``; vectors and routers in 32 bits."""
    own, subject = MIXES[mix], Subject(experts=experts, **_SUBJECT)
    routed = {f"{name}_exps": (experts, *shape) for name, shape in _DENSE.items()}
    found: Tensors = {"token_embd.weight": ((512, 256), own.table or own.base)}
    for layer in range(8):
        for name, shape in (_ATTENTION | (routed if experts else _DENSE)).items():
            part = "values" if name == "attn_v" else name.removesuffix("_exps")
            found[f"blk.{layer}.{name}.weight"] = shape, own.type_of(part, layer, subject)
        vectors = {"attn_norm": (256,), "ffn_norm": (256,)} | ({"ffn_gate_inp": (experts, 256)} if experts else {})
        found |= {f"blk.{layer}.{name}.weight": (shape, "fp32") for name, shape in vectors.items()}
    return found | {"output_norm.weight": ((256,), "fp32"), "output.weight": ((512, 256), own.head)}
