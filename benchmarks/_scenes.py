"""Clean scenes and the noise of the Noise2Self paper: characters, photographs, cells.

Every scene has values from 0 to 1, and every draw its seed. Where the paper
leaves a parameter open, the one chosen here is stated beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from skimage.io import imread
from skimage.transform import resize

from napari_noise2self import samples

Array = NDArray[np.float32]
Noise = Callable[[Array, np.random.Generator], Array]

FONTS = (
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",  # Debian: fonts-wqy-zenhei
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",  # Debian: fonts-noto-cjk
    "/System/Library/Fonts/PingFang.ttc",
    "C:/Windows/Fonts/msyh.ttc",
)
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry",
               "retina", "rocket")  # fmt: skip
IDEOGRAPHS = range(0x4E00, 0x9FA6)


@dataclass(frozen=True)
class Scenes:
    """Clean images to train on and, apart from them, to test on.

    Attributes
    ----------
    name
        The paper's name of the data set.
    train, test
        float32, shape (N, Y, X) or (N, Y, X, C), from 0 to 1.
    noise
        ``noise(clean, rng)`` draws one noisy copy.
    about
        Where it is from, in a line.
    """

    name: str
    train: Array
    test: Array
    noise: Noise
    about: str

    @property
    def axes(self) -> str:
        """Axes string of the stacks."""
        return "TYX" if self.train.ndim == 3 else "TYXC"


def characters(*, train: int, test: int, seed: int, font: Path | None = None) -> Scenes:
    """Chinese characters, white on black, 64 x 64 (the paper has 13,029 of them)."""
    path = str(font) if font else next((f for f in FONTS if Path(f).is_file()), None)
    if path is None:
        raise SystemExit("no CJK font found: apt install fonts-wqy-zenhei, or give --font FILE")
    face = ImageFont.truetype(path, 60)
    rng = np.random.default_rng(seed)
    drawn = []
    for code in rng.permutation(IDEOGRAPHS):
        picture = Image.new("L", (64, 64))
        ImageDraw.Draw(picture).text((32, 32), chr(code), fill=255, font=face, anchor="mm")
        drawn.append(np.asarray(picture, dtype=np.float32) / 255)
        if len(drawn) == train + test:
            break
    if len(drawn) < train + test:
        raise SystemExit(f"there are {len(IDEOGRAPHS)} characters, {train + test} were asked for")
    pixels = np.stack(drawn)
    return Scenes(
        "Hanzi",
        pixels[test:],
        pixels[:test],
        blacked_out,
        f"{train} characters of {Path(path).name}, 60 pixels high in 64 x 64",
    )


def blacked_out(clean: Array, rng: np.random.Generator) -> Array:
    """Gaussian noise of 0.7, then half of the pixels set to black."""
    noisy = clean + rng.normal(0, 0.7, clean.shape)
    return (noisy * (rng.random(clean.shape) < 0.5)).astype(np.float32)


def photographs(*, train: int, test: int, seed: int, folder: Path | None = None) -> Scenes:
    """RGB squares of 128 x 128 out of photographs; those tested on are of other photographs."""
    if folder is None:
        images = [getattr(data, name)() for name in PHOTOGRAPHS]
    else:
        files = (
            p for p in sorted(folder.iterdir()) if p.suffix.lower() in (".jpg", ".jpeg", ".png")
        )
        images = [image for image in map(imread, files) if image.ndim == 3]
    images = [image[..., :3] for image in images if min(image.shape[:2]) >= 128]
    if len(images) < 2:
        raise SystemExit(f"{folder}: at least 2 RGB images of 128 x 128 or more are needed")
    rng = np.random.default_rng(seed)
    apart = max(1, len(images) // 5)
    return Scenes(
        "ImageNet",
        _squares(images[apart:], train, rng),
        _squares(images[:apart], test, rng),
        camera_phone,
        f"{train} squares of {len(images) - apart} photographs "
        f"({'of scikit-image' if folder is None else folder}), 128 x 128",
    )


def _squares(images: list[NDArray[np.uint8]], count: int, rng: np.random.Generator) -> Array:
    """Random squares of random size, brought to 128 x 128."""
    squares = []
    for _ in range(count):
        image = images[int(rng.integers(len(images)))]
        edge = int(rng.integers(128, min(image.shape[:2]), endpoint=True))
        y, x = (int(rng.integers(n - edge, endpoint=True)) for n in image.shape[:2])
        square = image[y : y + edge, x : x + edge]
        squares.append(resize(square, (128, 128), anti_aliasing=edge > 128).astype(np.float32))
    return np.stack(squares)


def camera_phone(clean: Array, rng: np.random.Generator) -> Array:
    """Poisson with 30 photons at white, Gaussian of 80 grey levels, a fifth of the values left.

    The paper gives "Bernoulli (p = 0.2)"; its code multiplies by a Bernoulli
    variable of mean p, so p is read as the share that survives.
    """
    noisy = rng.poisson(30 * clean) / 30 + rng.normal(0, 80 / 255, clean.shape)
    return (noisy * (rng.random(clean.shape) < 0.2)).astype(np.float32)


def cells(*, train: int, test: int, seed: int) -> Scenes:
    """Synthetic cells, 128 x 128: nuclei, fibres and vesicles of this package's sample image."""
    crops = []
    scene = 0
    while len(crops) < train + test:
        truth = np.asarray(samples.cells(size=512, seed=1000 * (seed + 1) + scene).truth.data)
        truth = (truth - truth.min()) / (np.percentile(truth, 99.9) - truth.min())
        tiles = truth.clip(0, 1).reshape(4, 128, 4, 128).swapaxes(1, 2).reshape(-1, 128, 128)
        crops.extend(tiles.astype(np.float32))
        scene += 1
    pixels = np.stack(crops[: train + test])
    return Scenes(
        "CellNet",
        pixels[test:],
        pixels[:test],
        heavy_tailed,
        f"{train} fields of synthetic cells, 128 x 128",
    )


def heavy_tailed(clean: Array, rng: np.random.Generator) -> Array:
    """Poisson with 5 photons at white, then read noise of Student's t, 3 degrees, scale 0.12.

    The paper's parameters are unpublished. Its 15 dB cannot be met: these cells
    fill less of the field, so that even pure noise, brought to their mean and
    variance, has 16 dB.
    """
    read = 0.12 * rng.standard_t(3, clean.shape)
    return (rng.poisson(5 * clean) / 5 + read).astype(np.float32)


def matched_psnr(truth: Array, image: Array) -> float:
    """PSNR in dB of a stack, its mean over the images, at a range of 1.

    As in the paper, each image is first brought to the mean and the variance of
    its truth.
    """
    pixels = tuple(range(1, truth.ndim))
    t = truth.astype(np.float64)
    x = image.astype(np.float64)
    x = (x - x.mean(pixels, keepdims=True)) / np.maximum(x.std(pixels, keepdims=True), 1e-12)
    x = x * t.std(pixels, keepdims=True) + t.mean(pixels, keepdims=True)
    return float(np.mean(-10 * np.log10(np.mean((x - t) ** 2, axis=pixels))))
