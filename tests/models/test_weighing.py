"""The tensors that lie in a folder: their bytes and their count are those of the answer, and differences are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_forms import (
    DENSE,
    ROUTED,
    Header,
    Tensor,
    dense_tensors,
    in_blocks,
    packed,
    plain,
    routed_tensors,
    write_tensors,
)

from roofline.buying.api import compare
from roofline.cost.memory_fit import MemoryFit
from roofline.errors import ConfigError
from roofline.models.checkpoints.tensors import held_tensors
from roofline.models.model import load_model
from roofline.parallelism.sharding import shard
from roofline.prediction.layouts.search import evaluate
from roofline.prediction.overflow import fit_request
from roofline.prediction.predict import Prediction, predict
from roofline.prediction.request import read_request
from roofline.program.phases import Phase

INDEX = "model.safetensors.index.json"
BLOCKS = {"quant_method": "fp8", "weight_block_size": [128, 128]}
FEW: dict[str, Any] = {"prompt": 64, "generate": 4}
PLAIN = sum(size for each in dense_tensors() for _, _, size in plain(each).values())


def write_folder(folder: Path, fields: dict[str, Any], header: Header | None = None) -> int:
    """A folder with a configuration and the tensors of ``header``; their bytes."""
    whole = {"torch_dtype": "bfloat16", **fields}
    (folder / "config.json").write_text(json.dumps(whole), encoding="utf-8")
    return write_tensors(folder / "model.safetensors", header) if header else 0


def write_index(folder: Path, names: tuple[str, ...] = (), **metadata: int) -> None:
    text = json.dumps({"metadata": metadata, "weight_map": dict.fromkeys(names, "model-00001-of-00002.safetensors")})
    (folder / INDEX).write_text(text, encoding="utf-8")


def header_of(tensors: list[Tensor], way: Callable[[Tensor], Header]) -> Header:
    return {name: held for each in tensors for name, held in way(each).items()}


def memory(folder: Path, hardware: str = "h100", **layout: int) -> MemoryFit:
    return predict(folder, hardware, batch=2, **FEW, **layout).memory


# An index alone


@pytest.mark.parametrize(("share", "named"), [(1.0, 0), (1.005, 0), (1.05, 1), (0.5, 1)])
def test_memory_is_the_total_of_an_index(tmp_path: Path, share: float, named: int) -> None:
    write_folder(tmp_path, DENSE)
    write_index(tmp_path, total_size=int(PLAIN * share))
    assert memory(tmp_path).footprint.weights_bytes == int(PLAIN * share)
    warnings = load_model(tmp_path).warnings
    assert len(warnings) == named
    if share == 0.5:
        assert f"{INDEX} has 11.5 MB of tensors, 11.5 MB fewer than the network that is counted" in warnings[0]
        assert warnings[0].endswith("; memory is that of the file")


def test_what_is_edited_or_stored_otherwise_is_no_longer_the_file(tmp_path: Path) -> None:
    write_folder(tmp_path, DENSE)
    write_index(tmp_path, total_size=2 * PLAIN)
    assert load_model(tmp_path, overrides={"num_hidden_layers": 4}).warnings == ()
    asked = predict(tmp_path, "h100", **FEW, dtype="fp8").memory
    assert asked.footprint.weights_bytes == predict(DENSE, "h100", **FEW, dtype="fp8").memory.footprint.weights_bytes
    narrow_cache = predict(tmp_path, "h100", **FEW, dtype="kv8").memory
    assert narrow_cache.footprint.weights_bytes == 2 * PLAIN


def test_an_index_counts_parameters_where_they_are_not_packed(tmp_path: Path) -> None:
    write_folder(tmp_path, DENSE)
    write_index(tmp_path, total_size=2 * PLAIN, total_parameters=PLAIN)
    assert load_model(tmp_path).parameters == predict(tmp_path, "h100", **FEW).parameters == PLAIN
    (warning,) = load_model(tmp_path).warnings
    assert f"({PLAIN:,} parameters, the network has {PLAIN // 2:,})" in warning
    write_folder(tmp_path, {**DENSE, "quantization_config": BLOCKS})
    assert load_model(tmp_path).parameters == PLAIN // 2


def test_layers_for_further_tokens_are_left_out_of_a_total(tmp_path: Path) -> None:
    write_folder(tmp_path, DENSE)
    write_index(tmp_path, ("mtp.fc.weight", "model.layers.4.eh_proj.weight"), total_size=2 * PLAIN)
    assert memory(tmp_path).footprint.weights_bytes == PLAIN
    (warning,) = load_model(tmp_path).warnings
    assert warning.endswith("among them mtp.*, layers from 4 on; left out: mtp.*, layers from 4 on")
    write_index(tmp_path, ("model.visual.blocks.0.attn.qkv.weight",), total_size=2 * PLAIN)
    assert memory(tmp_path).footprint.weights_bytes == 2 * PLAIN
    assert "among them visual.*; memory is that of the file" in load_model(tmp_path).warnings[0]


# Headers


def _but_outputs(tensor: Tensor) -> Header:
    """Blocks of fp8, but output projections in 16 bits, and the head narrow too."""
    quantised = (tensor.linear and "o_proj" not in tensor.name) or tensor.name == "lm_head"
    return in_blocks(tensor) if quantised else plain(tensor)


def test_modules_are_stored_and_read_as_the_headers_have_them(tmp_path: Path) -> None:
    fields = {**DENSE, "quantization_config": BLOCKS}
    total = write_folder(tmp_path, fields, header_of(dense_tensors(), _but_outputs))
    held, stated = predict(tmp_path, "h100", **FEW), predict({**fields, "torch_dtype": "bfloat16"}, "h100", **FEW)
    assert held.memory.footprint.weights_bytes == total
    assert held.parameters == load_model(tmp_path).parameters == PLAIN // 2
    (warning,) = load_model(tmp_path).warnings
    assert "; in 16 bits there: self_attn.o_proj; of other bytes there: w_head x 0.5; memory is that of" in warning

    def read(found: Prediction, name: str) -> float:
        return sum(each.figures.bytes for each in found.phases[Phase.DECODE].operators if each.name == name)

    assert read(stated, "lm_head") - read(held, "lm_head") == pytest.approx(512 * 1000 - 8 * 4 * 4)
    assert read(held, "out_proj") - read(stated, "out_proj") == pytest.approx(4 * 512 * 512, rel=0.01)


@pytest.mark.parametrize("layout", [{"tp": 2}, {"pp": 2}, {"tp": 2, "pp": 2}, {"dp": 2}])
def test_the_bytes_of_a_file_are_dealt_out_as_the_network_is(tmp_path: Path, layout: dict[str, int]) -> None:
    write_folder(tmp_path, DENSE, header_of(dense_tensors(), plain))
    devices = layout.get("tp", 1) * layout.get("pp", 1) * layout.get("dp", 1)
    plainly = memory(tmp_path, f"{devices}xh100", **layout).footprint.weights_bytes
    visual = {"model.visual.blocks.0.attn.qkv.weight": ("BF16", PLAIN // 2, PLAIN)}
    write_folder(tmp_path, DENSE, header_of(dense_tensors(), plain) | visual)
    assert memory(tmp_path, f"{devices}xh100", **layout).footprint.weights_bytes == 2 * plainly
    searched = predict(tmp_path, f"{devices}xh100", batch=2, **FEW)
    assert searched.memory.footprint.weights_bytes <= 2 * PLAIN


def test_every_expert_counts_and_what_lies_beside_is_named(tmp_path: Path) -> None:
    fields = {**ROUTED, "quantization_config": BLOCKS, "num_nextn_predict_layers": 1}
    network = header_of(routed_tensors(), lambda each: in_blocks(each) if each.linear else plain(each))
    stated = predict({**fields, "torch_dtype": "bfloat16"}, "h100", **FEW).memory.footprint.weights_bytes
    ahead = {"model.layers.3.eh_proj.weight": ("BF16", 10**6, 2 * 10**6)}
    tower = {"model.visual.conv.weight": ("BF16", 10**6, 2 * 10**6)}
    assert write_folder(tmp_path, fields, network) == stated
    assert all("multi-token" in each for each in load_model(tmp_path).warnings)
    assert write_folder(tmp_path, fields, network | ahead) == stated + 2 * 10**6
    assert memory(tmp_path).footprint.weights_bytes == stated
    write_folder(tmp_path, fields, network | ahead | tower)
    assert memory(tmp_path).footprint.weights_bytes == stated + 2 * 10**6
    model = load_model(tmp_path)
    assert model.parameters == load_model(fields).parameters + 10**6
    told = "among them visual.* (2.00 MB), layers from 3 on (2.00 MB); left out: layers from 3 on; memory is that of"
    assert told in model.warnings[-1]


def test_packed_parameters_are_counted_as_the_network_states_them(tmp_path: Path) -> None:
    fields = {**DENSE, "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}
    total = write_folder(tmp_path, fields, header_of(dense_tensors(), lambda e: packed(e) if e.linear else plain(e)))
    assert load_model(tmp_path).warnings == ()
    assert load_model(tmp_path).parameters == PLAIN // 2
    assert memory(tmp_path).footprint.weights_bytes == total


def test_narrow_tensors_without_a_scheme_are_read_as_they_are(tmp_path: Path) -> None:
    total = write_folder(tmp_path, DENSE, header_of(dense_tensors(), lambda e: in_blocks(e) if e.linear else plain(e)))
    assert memory(tmp_path).footprint.weights_bytes == total
    assert "of other bytes there: w_q x 0.5, " in load_model(tmp_path).warnings[0]


@pytest.mark.parametrize("dtype", ["float32", None])
def test_what_has_32_bits_is_loaded_in_the_dtype_of_the_run(tmp_path: Path, dtype: str | None) -> None:
    fields = {**DENSE, "torch_dtype": dtype}
    write_folder(tmp_path, fields, header_of(dense_tensors(), lambda each: plain(each, "F32", 4)))
    assert memory(tmp_path).footprint.weights_bytes == PLAIN
    assert load_model(tmp_path).warnings[0].endswith("--dtype fp32 keeps it")
    assert predict(tmp_path, "h100", **FEW, dtype="fp32").memory.footprint.weights_bytes == 2 * PLAIN


def test_masks_and_a_head_that_is_a_copy_are_left_out(tmp_path: Path) -> None:
    masks = {"model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", 10**6, 4 * 10**6)}
    write_folder(tmp_path, {**DENSE, "tie_word_embeddings": True}, header_of(dense_tensors(), plain) | masks)
    assert memory(tmp_path).footprint.weights_bytes == PLAIN - 2 * 512 * 1000
    assert load_model(tmp_path).warnings == ()


def test_every_door_takes_the_bytes_of_the_file(tmp_path: Path) -> None:
    write_folder(tmp_path, DENSE)
    write_index(tmp_path, total_size=100 * 10**9)
    request = read_request(tmp_path, "2xh100", batch=2, **FEW, reserve="0GiB")
    table = evaluate(request, {}, [2])
    layouts = [table.layout(row) for row in range(len(table))]
    fits = [fit_request(request, each, shard(request.program, each)) for each in layouts]
    assert table.memory_bytes.tolist() == pytest.approx([each.footprint.total_bytes for each in fits], rel=1e-6)
    assert table.fits.tolist() == [each.fits for each in fits]
    assert any(table.fits)
    assert not all(table.fits)
    assert not predict(tmp_path, "h100", **FEW).memory.fits
    alone, both = compare(tmp_path, ["h100", "2xh100"], prompt=64, generate=64).rows
    assert {alone.hardware.count: alone.point is None, both.hardware.count: both.point is None} == {1: True, 2: False}


# Which files lie there


@pytest.mark.parametrize("total", [-5, "16 GB", True, [1], 1e30])
def test_an_index_of_no_size_is_refused_in_a_line(tmp_path: Path, total: Any) -> None:
    write_folder(tmp_path, DENSE)
    write_index(tmp_path, total_size=total)
    with pytest.raises(ConfigError, match=r"total_size .*, expected a whole number above 0\Z"):
        load_model(tmp_path)


def test_shards_that_are_not_all_there_say_nothing(tmp_path: Path) -> None:
    write_folder(tmp_path, DENSE)
    write_tensors(tmp_path / "model-00001-of-00002.safetensors", header_of(dense_tensors(), plain))
    assert held_tensors(tmp_path) is None
    (tmp_path / "model-00002-of-00002.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert held_tensors(tmp_path) is None
    write_index(tmp_path, ("a",), total_size=PLAIN)
    found = held_tensors(tmp_path)
    assert found is not None
    assert (found.bytes, found.file.name) == (PLAIN, "model-00001-of-00002.safetensors")
    other = write_tensors(tmp_path / "consolidated.safetensors", header_of(dense_tensors(), plain))
    (tmp_path / INDEX).unlink()
    write_tensors(tmp_path / "model-00002-of-00002.safetensors", {"w": ("BF16", 1, 2)})
    found = held_tensors(tmp_path)
    assert found is not None
    assert (found.bytes, found.file, found.elements) == (other + 2, tmp_path, other // 2 + 1)


@pytest.mark.parametrize(
    "text",
    [
        b"no header",
        b"\x02\0\0\0\0\0\0\0[]",
        b'\x4a\0\0\0\0\0\0\0{"w": {"dtype": "F32", "shape": [1], "data_offsets": [9, 1], "long": "word"}}',
    ],
)
def test_a_header_that_is_none_is_refused_in_a_line(tmp_path: Path, text: bytes) -> None:
    write_folder(tmp_path, DENSE)
    (tmp_path / "model.safetensors").write_bytes(text)
    with pytest.raises(ConfigError, match="its header is none of safetensors"):
        load_model(tmp_path)
