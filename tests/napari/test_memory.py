"""What a dock leaves behind when it is closed: nothing."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_noise2self._napari.widget import DenoiseWidget
from napari_noise2self.core.config import TrainingConfig

LONG = 60_000


def train_and_close(
    qtbot: Any, data: np.ndarray, config: TrainingConfig, how: str
) -> dict[str, weakref.ref[Any]]:
    """Return weak references to what must not stay."""
    viewer = ViewerModel()
    viewer.add_image(data, name="cells")
    dock = DenoiseWidget(viewer)
    dock.panel.form.setValue(config)
    dock.panel.denoise_after_check.setChecked(how == "finished")
    end = dock.denoising_finished if how == "finished" else dock.training_finished
    with qtbot.waitSignal(end, timeout=LONG):
        dock.train()
        if how != "finished":
            qtbot.waitUntil(lambda: dock.denoiser is not None, timeout=LONG)
            dock.stop()
    if how == "failed":
        with qtbot.waitSignal(dock.failed, timeout=LONG):
            dock.load_model("missing.safetensors")
    left = {"pixels": weakref.ref(data), "dock": weakref.ref(dock)}
    if dock.denoiser is not None:
        left["network"] = weakref.ref(dock.denoiser.network)
    dock.deleteLater()
    QApplication.sendPostedEvents(dock, QEvent.Type.DeferredDelete)
    viewer.layers.clear()
    return left


@pytest.mark.parametrize("how", ["finished", "stopped", "failed"])
def test_network_pixels_and_dock_are_given_back(
    qtbot: Any, noisy: np.ndarray, tiny: TrainingConfig, endless: TrainingConfig, how: str
) -> None:
    left = train_and_close(qtbot, noisy.copy(), endless if how == "stopped" else tiny, how)
    qtbot.wait(50)
    gc.collect()
    assert [name for name, reference in left.items() if reference() is not None] == []
    assert not [t for t in threading.enumerate() if t.name.startswith("noise2self")]


def test_opening_the_dock_loads_no_torch(tmp_path: Path) -> None:
    import subprocess

    code = """
import sys
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication
QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, sys.argv[1])
app = QApplication([])
from napari.components import ViewerModel
from napari_noise2self._napari.widget import DenoiseWidget
import numpy as np
viewer = ViewerModel()
dock = DenoiseWidget(viewer)
viewer.add_image(np.eye(64))
dock.panel.advanced_button.click()
assert dock.panel.train_button.isEnabled()
print("torch" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
    assert list(tmp_path.rglob("dock.ini"))  # not the user's own
