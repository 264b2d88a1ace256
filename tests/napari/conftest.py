"""A viewer, a dock, and the certainty that no worker outlives its test."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent, QSettings
from qtpy.QtWidgets import QApplication

from napari_noise2self._napari import garbage, worker
from napari_noise2self._napari.widget import DenoiseWidget
from napari_noise2self.core.config import TrainingConfig

TINY = replace(
    TrainingConfig(),
    steps=6,
    width=4,
    depth=1,
    patch_size=32,
    pixels_per_step=2048,
    footprint=(1, 1),
    validate_every=3,
    device="cpu",
)

ENDLESS = replace(TINY, steps=1_000_000, patience=0)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Do without a screen where there is none and pytest-xvfb has started none.

    It starts one in each process of pytest-xdist, not in the one that only deals
    out the tests, and whose environment the others inherit.
    """
    if config.getoption("numprocesses", None):
        return
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(scope="session", autouse=True)
def _what_stays_is_not_searched() -> None:
    """Take what is imported out of the collector, which every test has search for docks."""
    import torch  # noqa: F401 (the largest of it)

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _settings_of_its_own(tmp_path: Path) -> None:
    scope = QSettings.Scope.UserScope
    QSettings.setPath(QSettings.Format.IniFormat, scope, str(tmp_path / "settings"))


@pytest.fixture(autouse=True)
def _nothing_left(qapp: QApplication) -> Iterator[None]:
    """No worker outlives its test, and no dock the begin of the next one.

    Until then pytest holds the arguments of a test.
    """
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    if garbage._watched:
        gc.collect()
        garbage.sweep()
    yield
    assert worker.wait_all(20), "a worker thread did not stop"
    end = time.monotonic() + 5
    while worker._running and time.monotonic() < end:  # what a job came to is still to be told
        qapp.processEvents()


@pytest.fixture
def collector_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the docks of tests that failed, whose arguments pytest holds for its report."""
    garbage.release()
    monkeypatch.setattr(garbage, "_watched", WeakSet())


@pytest.fixture
def tiny() -> TrainingConfig:
    """Trains in a moment."""
    return TINY


@pytest.fixture
def endless() -> TrainingConfig:
    """Trains until it is stopped."""
    return ENDLESS


@pytest.fixture
def noisy() -> np.ndarray:
    """Smooth structure with independent noise, 64 x 64."""
    y, x = np.mgrid[:64, :64]
    clean = 100 + 40 * np.sin(y / 7) * np.cos(x / 9)
    return np.random.default_rng(0).normal(clean, 10).astype(np.float32)


@pytest.fixture
def stack(noisy: np.ndarray) -> np.ndarray:
    """Eight frames."""
    rng = np.random.default_rng(1)
    return np.stack([noisy + rng.normal(0, 5, noisy.shape) for _ in range(8)]).astype(np.float32)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """What napari's notifications say during the test."""
    heard: list[str] = []

    def hear(event: Any) -> None:
        heard.append(str(event.message))

    notification_manager.notification_ready.connect(hear)
    yield heard
    notification_manager.notification_ready.disconnect(hear)


@pytest.fixture
def make_dock(qapp: QApplication, viewer: ViewerModel) -> Iterator[Callable[..., DenoiseWidget]]:
    """A function that opens a dock on the headless viewer."""
    docks: list[DenoiseWidget] = []

    def make(config: TrainingConfig = TINY, *, denoise_after: bool = False) -> DenoiseWidget:
        dock = DenoiseWidget(viewer)
        docks.append(dock)
        dock.panel.form.setValue(config)
        dock.panel.denoise_after_check.setChecked(denoise_after)
        return dock

    yield make
    for dock in docks:
        if isalive(dock):  # a test may have destroyed it
            dock.deleteLater()


@pytest.fixture
def at_rest(qtbot: Any) -> Callable[[DenoiseWidget], None]:
    """Return a function that waits until a dock is at rest."""

    def wait(dock: DenoiseWidget) -> None:
        qtbot.waitUntil(lambda: dock.state.at_rest, timeout=60_000)

    return wait
