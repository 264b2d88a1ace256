"""The paths that come out of the file dialogs, whose answers are given here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_noise2self._napari import dialogs

Answers = Callable[..., list[str]]


@pytest.fixture
def typed(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Return a function that has names typed into the dialogs, and returns what was proposed."""

    def give(*names: Path | str, kind: str = "") -> list[str]:
        answers, proposed = iter(names), []

        def answer(_: object, __: str, start: str, *___: str) -> tuple[str, str]:
            proposed.append(start)
            return str(next(answers)), kind

        monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
        return proposed

    return give


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the questions about replacing; "No" is the answer to the first, "Yes" after it."""
    questions: list[str] = []

    def answer(_: object, __: str, question: str) -> QMessageBox.StandardButton:
        questions.append(question)
        no, yes = QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes
        return no if len(questions) == 1 else yes

    monkeypatch.setattr(QMessageBox, "question", answer)
    return questions


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("cells", "cells.safetensors"),
        ("cells.safetensors", "cells.safetensors"),
        ("day1.5um", "day1.5um.safetensors"),
        ("cells.SAFETENSORS", "cells.safetensors"),
    ],
)
def test_an_ending_is_added_and_the_name_stays(
    typed: Answers, asked: list[str], tmp_path: Path, name: str, saved: str
) -> None:
    typed(tmp_path / name)
    assert dialogs.model_to_save(None, "", "model") == tmp_path / saved
    assert asked == []


def test_a_file_that_only_the_ending_makes_the_same_is_asked_about(
    typed: Answers, asked: list[str], tmp_path: Path
) -> None:
    (tmp_path / "cells.safetensors").write_bytes(b"the only copy")
    proposed = typed(tmp_path / "cells", tmp_path / "cells 2")
    assert dialogs.model_to_save(None, str(tmp_path), "x") == tmp_path / "cells 2.safetensors"
    assert "cells.safetensors is already there" in asked[0]
    assert proposed[1] == str(tmp_path / "cells.safetensors"), "No leads back to the dialog"
    typed(tmp_path / "cells")
    assert dialogs.model_to_save(None, "", "x") == tmp_path / "cells.safetensors", "Yes"


def test_a_name_that_qt_has_asked_about_is_not_asked_about_again(
    typed: Answers, asked: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "cells.safetensors"
    path.touch()
    typed(path)
    assert dialogs.model_to_save(None, "", "x") == path
    assert asked == []


@pytest.mark.parametrize("name", ["day1.5um", "day1.5um.zarr"])
def test_the_folder_of_an_older_result_is_asked_about(
    typed: Answers, asked: list[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "day1.5um.zarr").mkdir()
    typed(tmp_path / name, "")
    assert dialogs.folder_for_result(None, "", "x") is None
    assert len(asked) == 1


def test_a_figure_takes_the_ending_of_the_kind_unless_it_has_one(
    typed: Answers, asked: list[str], tmp_path: Path
) -> None:
    (tmp_path / "noise.png").touch()
    typed(tmp_path / "noise", "", kind="PNG (*.png)")
    assert dialogs.figure_to_save(None, "x") is None
    assert "noise.png" in asked[0]
    typed(tmp_path / "noise.svg", kind="PNG (*.png)")
    assert dialogs.figure_to_save(None, "x") == tmp_path / "noise.svg"
    typed(tmp_path / "day1.5um")
    assert dialogs.figure_to_save(None, "x") == tmp_path / "day1.5um.pdf"


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("/data/raw [1]", "data-raw [1]"),
        ("C:\\images\\a*b?", "C-images-a-b"),
        ("day1.5um", "day1.5um"),
        ("..", "image"),
        ("", "image"),
    ],
)
def test_the_proposed_name_stays_in_the_folder(
    typed: Answers, tmp_path: Path, layer: str, name: str
) -> None:
    proposed = typed("", "", "")
    dialogs.model_to_save(None, str(tmp_path), layer)
    dialogs.folder_for_result(None, str(tmp_path), layer)
    dialogs.figure_to_save(None, layer)
    assert proposed == [
        str(tmp_path / f"{name}.safetensors"),
        str(tmp_path / f"{name} denoised.zarr"),
        f"{name}.pdf",
    ]
