"""GGUF files: their networks, the types and the bytes of their tensors, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("gguf")

from gguf_files import LLAMA, llama_tensors, write_gguf

from roofline.errors import ConfigError
from roofline.models.model import load_model
from roofline.prediction.predict import predict

FEW = {"batch": 1, "prompt": 64, "generate": 4}


def weights_of(file: Path, **options: object) -> float:
    return float(predict(file, "rtx-4090", **FEW, **options).memory.footprint.weights_bytes)  # type: ignore[arg-type]


@pytest.mark.parametrize("mix", ["q4_k_m", "q8_0", "q6_k", "q3_k_m", "q2_k"])
def test_bytes_are_those_of_the_file_and_of_the_mix_it_is_named_after(tmp_path: Path, mix: str) -> None:
    held = write_gguf(tmp_path / "small.gguf", "llama", LLAMA, llama_tensors(mix))
    model = load_model(tmp_path / "small.gguf")
    assert not model.warnings
    assert weights_of(tmp_path / "small.gguf") == held
    assert weights_of(tmp_path / "small.gguf", dtype=mix) == held


def test_mixture_of_experts(tmp_path: Path) -> None:
    keys = LLAMA | {"expert_count": 8, "expert_used_count": 2}
    held = write_gguf(tmp_path / "moe.gguf", "llama", keys, llama_tensors("q4_k_m", experts=8))
    model = load_model(tmp_path / "moe.gguf")
    assert (model.model_type, model.warnings) == ("mixtral", ())
    assert weights_of(tmp_path / "moe.gguf") == held
    assert weights_of(tmp_path / "moe.gguf", dtype="q4_k_m") == held


def test_parts_of_one_file_are_read_together(tmp_path: Path) -> None:
    tensors = llama_tensors("q4_k_m")
    cut = len(tensors) // 2
    halves = dict(list(tensors.items())[:cut]), dict(list(tensors.items())[cut:])
    files = [tmp_path / f"small-0000{at}-of-00002.gguf" for at in (1, 2)]
    held = sum(write_gguf(file, "llama", LLAMA, half) for file, half in zip(files, halves, strict=True))
    assert weights_of(files[0]) == weights_of(files[1]) == held
    files[1].unlink()
    with pytest.raises(ConfigError, match=r"one of 2 parts, and small-00002-of-00002.gguf does not lie beside it"):
        load_model(files[0])


def test_what_is_not_modelled_is_said(tmp_path: Path) -> None:
    keys = LLAMA | {"swin_norm": 1}
    tensors = llama_tensors("q8_0") | {"blk.0.strange.weight": ((512, 256), "fp16")}
    held = write_gguf(tmp_path / "odd.gguf", "llama", keys, tensors)
    warnings = load_model(tmp_path / "odd.gguf").warnings
    assert any("swin_norm of the header is not modelled" in each for each in warnings)
    assert any(f"{held:,} bytes" in each and "memory is that of the file" in each for each in warnings)
    assert weights_of(tmp_path / "odd.gguf") == held


def test_what_is_no_network_is_refused_in_a_line(tmp_path: Path) -> None:
    write_gguf(tmp_path / "new.gguf", "llamas", LLAMA, {})
    (tmp_path / "text.gguf").write_text("no header", encoding="utf-8")
    (tmp_path / "kept.gguf").write_text("version https://git-lfs.github.com/spec/v1", encoding="utf-8")
    write_gguf(tmp_path / "few.gguf", "llama", {"block_count": 8}, llama_tensors("q8_0"))
    uneven = LLAMA | {"attention.head_count_kv": [2, 4]}
    write_gguf(tmp_path / "uneven.gguf", "llama", uneven, llama_tensors("q8_0"))
    wanted = {
        "new": 'architecture "llamas" is not modelled; did you mean llama',
        "text": "not a whole GGUF file",
        "few": "hidden_size",
        "kept": "a pointer of Git LFS, not the file",
        "uneven": "differs from layer to layer",
        "none": "no such file",
    }
    for name, said in wanted.items():
        with pytest.raises(ConfigError, match=said) as refused:
            load_model(tmp_path / f"{name}.gguf")
        assert "\n" not in str(refused.value)
