"""A figure in a dock: as wide as the dock, and in full on a click."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QGuiApplication, QMouseEvent, QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import QDialog, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget


class FigureView(QWidget):
    """Shows a picture; hidden until there is one.

    A rendered picture rather than matplotlib's own canvas, whose import and
    toolbar cost a second and much of the dock.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("figure_view")
        self.setToolTip("Click to see it in full.")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self._picture = QPixmap()
        self.hide()

    @property
    def picture(self) -> QPixmap:
        """What is shown, in full size."""
        return self._picture

    def set_picture(self, png: bytes) -> None:
        """Show a PNG; ``b""`` shows nothing."""
        self._picture = QPixmap()
        if png:
            self._picture.loadFromData(png)
        self.setVisible(not self._picture.isNull())
        self.updateGeometry()
        self.update()

    def show_in_full(self) -> None:
        """Open a window with the picture in its own size, as far as the screen allows."""
        dialog = QDialog(self)
        dialog.setWindowTitle("Noise2Self: what was found about the noise")
        label = QLabel()
        label.setPixmap(self._picture)
        area = QScrollArea()
        area.setWidget(label)
        area.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout = QVBoxLayout(dialog)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)
        screen = QGuiApplication.primaryScreen().availableSize()
        dialog.resize((self._picture.size() + QSize(20, 20)).boundedTo(screen * 0.9))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.show()

    def hasHeightForWidth(self) -> bool:
        """Keep the picture's proportions."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Return the height that the picture has at a width."""
        if self._picture.isNull():
            return 0
        return round(width * self._picture.height() / self._picture.width())

    def sizeHint(self) -> QSize:
        """Fit the dock."""
        return QSize(280, self.heightForWidth(280))

    def paintEvent(self, _: QPaintEvent) -> None:
        """Draw the picture as wide as the widget."""
        if self._picture.isNull():
            return
        ratio = self.devicePixelRatioF()
        scaled = self._picture.scaledToWidth(
            max(1, round(self.width() * ratio)), Qt.TransformationMode.SmoothTransformation
        )
        scaled.setDevicePixelRatio(ratio)
        painter = QPainter(self)
        painter.drawPixmap(0, 0, scaled)
        painter.end()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Show it in full."""
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.pos()):
            self.show_in_full()
