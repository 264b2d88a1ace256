"""The benchmarks: each explains itself, and its figures are right where they can be known."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from napari_noise2self import api, samples
from napari_noise2self.core import config

FOLDER = Path(__file__).parents[1] / "benchmarks"
OWN = ("_careamics", "_data", "_fresh", "_metrics", "_peers", "_report", "fmd", "gpu", "neighbours",
       "no_harm", "predict", "scaling", "time_to_quality")  # fmt: skip
SCRIPTS = sorted(name for name in OWN if not name.startswith("_"))


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of the benchmarks as its scripts do, and forget it afterwards."""
    monkeypatch.syspath_prepend(FOLDER)
    for name in OWN:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in OWN:
        sys.modules.pop(name, None)


@pytest.fixture
def metrics(load: Any) -> ModuleType:
    return load("_metrics")


def run(load: Any, monkeypatch: pytest.MonkeyPatch, script: str, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    load(script).main()


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_itself(
    load: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(load, monkeypatch, script, "--help")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert load(script).__doc__.splitlines()[0] in shown
    assert "--json" in shown
    assert f"`{script}.py`" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_psnr_is_clipped_and_not_rescaled(metrics: ModuleType) -> None:
    truth = np.full((8, 8), 100.0)
    assert metrics.psnr(truth, truth + 5) == pytest.approx(20 * np.log10(255 / 5))
    dark = metrics.psnr(truth, np.full((8, 8), -40.0))
    assert dark == pytest.approx(20 * np.log10(255 / 100))  # clipped to 0
    assert metrics.psnr(truth, truth + 5, 100, 200) == pytest.approx(20 * np.log10(100 / 5))


def test_scale_invariant_psnr_fits_scale_and_offset(metrics: ModuleType) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 10, (32, 32))
    # 3, 1, 3, 1 against 2, 0, 1, 1: slope 0.5, residuals 0.5, -0.5, -0.5, 0.5, range 2.
    small = np.array([[2.0, 0.0, 1.0, 1.0]])
    assert metrics.scale_invariant_psnr(small, np.array([[3.0, 1.0, 3.0, 1.0]])) == pytest.approx(
        10 * np.log10(2**2 / 0.25)
    )
    noisy = truth + rng.normal(0, 1, truth.shape)
    expected = metrics.scale_invariant_psnr(truth, noisy)
    assert metrics.scale_invariant_psnr(truth, 7 * noisy + 50) == pytest.approx(expected)


def test_ssim_of_constants_follows_its_formula(metrics: ModuleType) -> None:
    a, b, c1 = 100.0, 110.0, (0.01 * 255) ** 2
    found = metrics.ssim(np.full((16, 16), a), np.full((16, 16), b))
    assert found == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1))


def test_grid_power_sees_a_faint_grid_and_none_in_noise(metrics: ModuleType) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (128, 130))
    rows, columns = np.indices(noise.shape)
    assert metrics.grid_power(noise, (4, 4)) < 3
    checkerboard = 0.3 * (-1.0) ** (rows + columns)
    # One bin of 0.09 * (sum w)^2 spread over three by three, above noise of sum w^2.
    expected = 1 + 0.09 * 128 * 128 * (2 / 3) ** 2 * 1.5**2 / 9
    assert metrics.grid_power(noise + checkerboard, (4, 4)) == pytest.approx(expected, rel=0.5)
    dots = 3.0 * (rows % 6 == 2) * (columns % 6 == 3)
    assert metrics.grid_power(noise + dots, (6, 6)) > 10
    ramp = noise + 100 * np.sin(columns / 40)
    assert metrics.grid_power(ramp, (4, 4)) < 4  # structure is no grid
    with pytest.raises(ValueError, match="too small"):
        metrics.grid_power(noise[:10], (4, 4))


def test_seam_contrast_sees_a_step_between_tiles(metrics: ModuleType) -> None:
    smooth = np.add.outer(np.arange(96.0), np.arange(96.0))  # every step is 1
    assert metrics.seam_contrast(smooth, (32, 32)) == pytest.approx(1)
    stepped = smooth + 2.0 * (np.arange(96) // 32)  # 3 across the vertical borders
    assert metrics.seam_contrast(stepped, (32, 32)) == pytest.approx((1 + 3) / 2)
    with pytest.raises(ValueError, match="no border"):
        metrics.seam_contrast(smooth[:30, :30], (32, 32))


def test_texture_is_what_a_plane_leaves_in_the_flattest_blocks(metrics: ModuleType) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.indices((96, 96))
    ramp = 0.5 * rows + columns
    blocks = [(slice(0, 16), slice(0, 16)), (slice(32, 48), slice(16, 32))]
    assert metrics.texture(ramp, blocks) == pytest.approx(0, abs=1e-9)
    assert metrics.texture(ramp + rng.normal(0, 2, ramp.shape), blocks) == pytest.approx(2, rel=0.2)
    half = 30 * np.sin(columns / 3) * (columns >= 48) + rng.normal(0, 2, ramp.shape)
    assert all(block[1].stop <= 48 for block in metrics.flat_blocks(half))


def test_multiply_adds_are_those_of_the_layers(load: Any) -> None:
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),  # 9 * 1 * 4 = 36 a pixel
        torch.nn.Conv2d(4, 4, 3, padding=1, groups=4),  # 9 * 4 = 36
        torch.nn.AvgPool2d(2),
        torch.nn.ConvTranspose2d(4, 2, 2, stride=2),  # 4 * 4 * 2 on a quarter of the pixels = 8
    )
    x = torch.zeros(1, 1, 8, 8)
    with torch.no_grad():
        found = load("predict").multiply_adds(layers, 64, lambda: layers(x))
    assert found == 36 + 36 + 8


def test_passing_a_target_means_to_stay_above_it(load: Any) -> None:
    passed = load("time_to_quality").passed
    curve = [{"seconds": s, "psnr": p} for s, p in ((1, 30.0), (2, 31.0), (3, 29.0), (4, 32.0))]
    assert passed(curve, 28) == 1
    assert passed(curve, 30.5) == 4
    assert passed(curve, 33) is None


def test_a_clock_leaves_out_what_was_spent_on_evaluation(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, now = load("time_to_quality"), [10.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    clock = module.Clock(2.0, _started=now[0])
    now[0] = 14.0
    since = now[0]
    now[0] = 17.0
    clock.evaluated(since, spent=1.0)
    assert clock.seconds() == 4
    assert clock.due == 8


def test_quality_is_reached_at_the_first_point_above_it(load: Any) -> None:
    reached = load("scaling").reached
    curve = [(10, 1.0, 29.0), (20, 2.0, 30.0), (30, 3.0, 31.0)]
    assert reached(curve, 30.0) == 2.0
    assert reached(curve, 32.0) is None


def test_a_movie_of_any_length_begins_alike_and_moves(load: Any) -> None:
    moving_cells = load("_data").moving_cells
    noisy, truth = moving_cells(3, 64)
    again, _ = moving_cells(3, 64)
    assert noisy.dtype == np.uint16
    np.testing.assert_array_equal(noisy, again)
    assert abs(float(noisy.mean()) - float(truth.mean())) < 2  # unbiased; the noise is about 7
    assert np.abs(truth - moving_cells(0, 64)[1]).max() > 10


def test_tables_are_markdown(load: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"scene": "a", "psnr": 31.456}, {"scene": "long", "psnr": None}]
    load("_report").print_table(rows, {"scene": "scene", "psnr": "PSNR|.2f"}, "Title")
    assert capsys.readouterr().out.splitlines() == [
        "",
        "Title",
        "",
        "| scene |  PSNR |",
        "| ----- | ----: |",
        "| a     | 31.46 |",
        "| long  |       |",
    ]


def test_the_peak_is_of_this_process(load: Any) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n"
        "from _fresh import peak_memory\n"
        "before = peak_memory()\n"
        "block = bytearray(100_000_000)\n"
        "del block\n"
        "print(before, peak_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < 50e6
    assert 95e6 < after - before < 110e6


def test_the_last_words_of_a_failed_measurement_are_kept(load: Any, tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise MemoryError('no room')")
    assert load("_fresh").measure(str(script), {}) == {"error": "MemoryError: no room"}


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Two noisy frames of one scene, 64 x 64, in the layout of FMD."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((64, 64))
    truth = 100 + 60 * np.sin(rows / 9) * np.cos(columns / 7)
    for name in ("raw", "gt"):
        (tmp_path / name).mkdir()
    Image.fromarray(truth.astype(np.uint8)).save(tmp_path / "gt" / "Waves_A_1.png")
    for frame in (1, 2):
        noisy = (truth + rng.normal(0, 20, truth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / "raw" / f"Waves_A_{frame}.png")
    return tmp_path


def test_every_frame_finds_the_truth_of_its_scene(load: Any, frames: Path) -> None:
    read_pairs = load("_data").read_pairs
    pairs = list(read_pairs(frames))
    assert [(pair.scene, pair.frame) for pair in pairs] == [("Waves_A", "1"), ("Waves_A", "2")]
    np.testing.assert_array_equal(pairs[0].truth, pairs[1].truth)
    assert [pair.frame for pair in read_pairs(frames, frames=["2"])] == ["2"]
    with pytest.raises(SystemExit, match="it has Waves_A"):
        list(read_pairs(frames, scenes=["Tides"]))
    with pytest.raises(SystemExit, match="no folders raw/ and gt/"):
        list(read_pairs(frames / "raw"))


def test_fmd_measures_ours_and_a_peer_over_seeds(
    load: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    frames: Path,
    tmp_path: Path,
) -> None:
    small = api.TrainingConfig(width=4, depth=1, steps=2, patch_size=32, pixels_per_step=1024)
    monkeypatch.setattr(api.TrainingConfig, "preset", lambda name: small)
    saved = tmp_path / "results.json"
    arguments = ("--data", str(frames), "--seeds", "0,1", "--peers", "tv", "--json", str(saved))
    run(load, monkeypatch, "fmd", *arguments)
    document = json.loads(saved.read_text())
    assert len(document["ours"]) == len(document["peers"]) == 2
    for row in document["ours"]:
        assert {run["seed"] for run in row["runs"]} == {0, 1}
        qualities = [run["psnr"] for run in row["runs"]]
        assert row["psnr"] == pytest.approx(np.mean(qualities))  # the median of two
        assert row["spread"] == pytest.approx(abs(qualities[0] - qualities[1]))
        assert row["psnr"] > row["noisy"] + 2
        assert row["seconds"] > 0
    peer = document["peers"][0]
    assert len(peer["runs"]) == 1  # no seed changes it
    assert peer["gain"] == pytest.approx(document["ours"][0]["psnr"] - peer["psnr"])
    assert document["machine"]["versions"]["torch"] == torch.__version__
    shown = capsys.readouterr().out
    assert "| mean " in shown
    assert "Peers" in shown


def test_a_peer_that_is_unknown_or_missing_is_named(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = load("_peers")
    with pytest.raises(SystemExit, match="no peer magic; expected some of careamics"):
        peers.prepare(["magic"])
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"careamics not installed: see benchmarks/README\.md"):
        peers.prepare(["careamics", "tv"])


def test_gpu_runs_without_one() -> None:
    tiny = ["--tiny", "--device", "cpu", "--precisions", "float32"]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "gpu.py"), *tiny],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    for title in ("Training", "A step of", "Its longest kernels", "Prediction"):
        assert title in done.stdout
    assert "convolution" in done.stdout


def test_neighbours_are_compared(
    load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = {name: partial(getattr(samples, name), size=48) for name in ("timelapse", "zstack")}
    for name, make in small.items():
        monkeypatch.setattr(samples, name, make)
    monkeypatch.setattr(config, "PRESETS", {"balanced": {"steps": 2, "width": 4, "depth": 1}})
    run(load, monkeypatch, "neighbours", "--json", str(tmp_path / "found.json"))
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    arms = [(row["sample"], row["arm"]) for row in rows]
    assert arms == [
        *(("timelapse", arm) for arm in ("each by itself", "one neighbour", "the default")),
        *(("zstack", arm) for arm in ("each by itself", "one neighbour", "the default", "3-D")),
    ]
    assert all(np.isfinite(row["psnr"]) and row["seconds"] > 0 for row in rows)
