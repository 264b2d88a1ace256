"""Model files: what is saved is loaded bit for bit, and anything else is refused by name."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from napari_noise2self import __version__
from napari_noise2self.core.errors import ModelFileError
from napari_noise2self.io import models
from napari_noise2self.io.models import check_model_target, read_header, read_model, write_model

HEADER = {"network": {"name": "unet", "width": 32}, "axes": "TYX", "losses": [0.5, 1e-7, None]}


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator),
        "conv.bias": torch.randn(4, generator=generator),
        "steps": torch.tensor(7),
        "half": torch.randn(5, generator=generator).to(torch.bfloat16),
    }


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write_model(path, weights(), HEADER)
    return path


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the table in front of the tensors, keeping the file well-formed."""
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    table = json.loads(content[8:begin])
    change(table)
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[begin:])


def with_header(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(table: dict[str, Any]) -> None:
        header = json.loads(table["__metadata__"][models.FORMAT])
        header.update(changes)
        header = {name: value for name, value in header.items() if value is not ...}
        table["__metadata__"][models.FORMAT] = json.dumps(header)

    return change


def test_what_is_saved_is_loaded(model: Path) -> None:
    tensors, header = read_model(model)
    assert tensors.keys() == weights().keys()
    for name, tensor in weights().items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].device.type == "cpu"
    added = {"format": "napari-noise2self", "format_version": 3, "package_version": __version__}
    assert header == {**HEADER, **added}
    assert read_header(model) == header
    assert list(model.parent.iterdir()) == [model]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(
    header=st.dictionaries(st.text(), JSON, max_size=4),
    shapes=st.dictionaries(
        st.text(max_size=8), st.lists(st.integers(0, 3), max_size=3), max_size=4
    ),
)
def test_any_header_and_any_shapes(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, Any], shapes: dict[str, list[int]]
) -> None:
    path = tmp_path_factory.mktemp("m") / "m.safetensors"
    shapes.pop("__metadata__", None)
    tensors = {name: torch.rand(shape) for name, shape in shapes.items()}
    write_model(path, tensors, header)
    back, found = read_model(path)
    added = {"format", "format_version", "package_version"}
    assert found.keys() == header.keys() | added
    assert all(found[name] == header[name] for name in header.keys() - added)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_tensors_in_any_layout(tmp_path: Path) -> None:
    shared = torch.arange(24.0).reshape(1, 2, 3, 4)
    tensors = {
        "a": shared,
        "b": shared[..., ::2],
        "c": shared.permute(0, 2, 3, 1),
        "d": shared.to(memory_format=torch.channels_last),
        "e": torch.nn.Parameter(shared),
    }
    write_model(tmp_path / "m.safetensors", tensors, {})
    back, _ = read_model(tmp_path / "m.safetensors")
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert all(tensor.is_contiguous() for tensor in back.values())


def test_other_programs_can_read_the_tensors(model: Path) -> None:
    with safe_open(model, "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("conv.bias"), weights()["conv.bias"].numpy())
        assert json.loads(file.metadata()["napari-noise2self"])["axes"] == "TYX"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), np.float32(1)])
def test_a_header_that_json_cannot_hold(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ModelFileError, match=r"cannot be written as JSON .* None for NaN"):
        write_model(tmp_path / "m.safetensors", weights(), {"loss": value})
    assert not list(tmp_path.iterdir())


def test_a_header_is_read_without_torch(model: Path) -> None:
    code = (
        "import sys; from napari_noise2self.io.models import read_header; "
        f"print(read_header({str(model)!r})['axes'], 'torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["TYX", "False"]


def test_a_crash_leaves_the_old_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> None:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ModelFileError, match=r"No space left on device.*older file .* untouched"):
        write_model(model, {}, {})
    assert read_header(model)["axes"] == "TYX"
    assert list(model.parent.iterdir()) == [model]


def test_a_place_is_checked_before_training(tmp_path: Path) -> None:
    check_model_target(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ModelFileError, match="no does not exist; create it or choose another"):
        check_model_target(tmp_path / "no" / "m.safetensors")
    with pytest.raises(ModelFileError, match="is a folder; add a file name to it"):
        check_model_target(tmp_path)


# Files that are no models of ours

READERS = pytest.mark.parametrize("read", [read_model, read_header])


@READERS
def test_missing_empty_or_a_folder(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    (tmp_path / "empty.safetensors").touch()
    for path, message in {
        tmp_path / "no.safetensors": "no.safetensors does not exist; check the folder",
        tmp_path / "empty.safetensors": r"is empty \(0 bytes\); copy it again",
        tmp_path: "is a folder; choose a .safetensors file",
    }.items():
        with pytest.raises(ModelFileError, match=message):
            read(path)


@READERS
def test_a_file_that_may_not_be_opened(
    model: Path, read: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ModelFileError, match=r"\(Permission denied\); change its permissions"):
        read(model)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@READERS
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_is_named_and_not_run(
    tmp_path: Path, read: Callable[[Path], Any], protocol: int
) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "trace"), protocol=protocol)
    (tmp_path / "model.pt").write_bytes(bomb)
    with pytest.raises(ModelFileError, match=r"is a pickle \(.pt, .pkl\), which can carry code"):
        read(tmp_path / "model.pt")
    assert not (tmp_path / "trace").exists()


@READERS
def test_a_checkpoint_of_pytorch_is_named(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    torch.save(weights(), tmp_path / "model.pth")
    with pytest.raises(ModelFileError, match=r"is a PyTorch or zip file .* choose a .safetensors"):
        read(tmp_path / "model.pth")


@READERS
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), r"an HDF5 file \(.h5, .keras\)"),
        (b"hello", "another file"),
        (b"hello, world, here I am", "another file"),
        (bytes(200), "another file"),
        (b"\xff" * 8 + b"{}", "another file"),
    ],
)
def test_another_file(
    tmp_path: Path, read: Callable[[Path], Any], content: bytes, what: str
) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ModelFileError, match=f"is {what}, not a safetensors file; choose"):
        read(tmp_path / "m.safetensors")


@READERS
def test_safetensors_of_another_program(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    for metadata in (None, {"format": "pt"}):
        save_file(weights(), tmp_path / "m.safetensors", metadata)
        with pytest.raises(ModelFileError, match="but not a model of napari-noise2self; choose"):
            read(tmp_path / "m.safetensors")


# Files that were ours


@READERS
def test_a_newer_format_is_refused_by_name(model: Path, read: Callable[[Path], Any]) -> None:
    rewritten(model, with_header(format_version=4, package_version="3.1"))
    with pytest.raises(
        ModelFileError,
        match=r"of format 4, saved by napari-noise2self 3.1; this version reads up to 3: upgrade",
    ):
        read(model)


@READERS
def test_a_network_that_was_built_in_another_way_is_refused(
    model: Path, read: Callable[[Path], Any]
) -> None:
    rewritten(model, with_header(format_version=2, package_version="0.0.1"))
    with pytest.raises(ModelFileError, match=r"of format 2, .* 0.0.1, .*; train again"):
        read(model)


@READERS
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_header(format_version=...), "lacks format_version; expected .* of type int"),
        (with_header(format_version="1"), "has format_version='1'; expected .* of type int"),
        (with_header(format_version=True), "has format_version=True; expected .* of type int"),
        (with_header(package_version=...), "lacks package_version; expected .* of type str"),
        (with_header(format="noise2void"), "is of format 'noise2void'; choose"),
        (lambda table: table["__metadata__"].update({models.FORMAT: "[]"}), "no dictionary"),
        (lambda table: table["__metadata__"].update({models.FORMAT: "{"}), "damaged header"),
        (
            lambda table: table["__metadata__"].update({models.FORMAT: "[" * 100_000}),
            "damaged header",
        ),
        (
            lambda table: table["__metadata__"].update({models.FORMAT: '{"loss": 1e999}'}),
            r"damaged header \(the number 1e999\)",
        ),
        (with_header(losses=[math.nan]), r"damaged header \(the number NaN\); copy it again"),
        (with_header(losses=[-math.inf]), r"damaged header \(the number -Infinity\)"),
        (lambda table: table["half"].update(data_offsets=[5, 1]), "damaged table of tensors"),
        (lambda table: table["half"].update(data_offsets="all"), "damaged table of tensors"),
        (lambda table: table.update(half=None), "damaged table of tensors"),
    ],
)
def test_a_damaged_header(
    model: Path, read: Callable[[Path], Any], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    rewritten(model, change)
    with pytest.raises(ModelFileError, match=message):
        read(model)


@READERS
def test_truncated_anywhere(model: Path, read: Callable[[Path], Any]) -> None:
    content = model.read_bytes()
    for length in {*range(1, len(content), 29), 7, 8, 9, len(content) - 1}:
        model.write_bytes(content[:length])
        with pytest.raises(ModelFileError, match=r"truncated|not a safetensors file"):
            read(model)


@READERS
def test_with_something_behind_it(model: Path, read: Callable[[Path], Any]) -> None:
    model.write_bytes(model.read_bytes() + b"more")
    with pytest.raises(ModelFileError, match="has 4 bytes too many: altered; copy it again"):
        read(model)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_altered_byte_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("m") / "m.safetensors"
    write_model(path, weights(), HEADER)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        tensors, header = read_model(path)
    except ModelFileError:
        return
    # a blank of the table may become another; nothing that is read may change
    assert header.items() >= HEADER.items()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in weights().items())


def test_altered_weights_names_and_header(model: Path) -> None:
    original = model.read_bytes()

    def rename(table: dict[str, Any]) -> None:
        table["conv.gain"] = table.pop("conv.bias")

    def reshape(table: dict[str, Any]) -> None:
        table["conv.bias"]["shape"] = [2, 2]

    for change in (with_header(axes="ZYX"), rename, reshape):
        model.write_bytes(original)
        rewritten(model, change)
        with pytest.raises(ModelFileError, match="altered after it was saved: its checksum"):
            read_model(model)
    model.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    with pytest.raises(ModelFileError, match="altered after it was saved: its checksum"):
        read_model(model)


def test_a_table_that_only_its_checksum_fits(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_model(path, {"a": torch.ones(2)}, {})
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")

    def disagree(table: dict[str, Any]) -> None:
        table["a"]["dtype"] = "F99"
        text = table["__metadata__"][models.FORMAT]
        entries = {name: entry for name, entry in table.items() if name != "__metadata__"}
        digest = models._digest(text, entries, memoryview(content)[begin:])
        table["__metadata__"]["sha256"] = digest

    rewritten(path, disagree)
    with pytest.raises(ModelFileError, match="is no safetensors file"):
        read_model(path)


def test_a_name_that_no_disk_can_have_is_said_to_be_too_long() -> None:
    with pytest.raises(ModelFileError, match="too long for the disk"):
        read_header("x" * 300 + ".safetensors")
