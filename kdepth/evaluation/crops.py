"""Which part of an image is seen, and which part of it is scored.

A `View` is what a system gets to see: a benchmark that cuts its images before the network cuts the
truth with them, and predictions cover the view alone. A `Crop` is where pixels of the view count.

Crops of KITTI are fractions of the image, truncated to integers and end-exclusive, as in all
released evaluations. They were chosen for 370x1224 to give [151:367, 44:1180], the rectangle of
Garg's mask file, but truncation yields 366 and 43. Crops of NYU are pixels of its one size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from kdepth.data.sample import Record
from kdepth.errors import UserError


@dataclasses.dataclass(frozen=True)
class Crop:
    """A rectangle of an image.

    Attributes:
        words: the crop in words, for the protocol's sentence.
        box: (top, bottom, left, right): fractions of height and width, or pixels where there is a
            `size`; ends excluded.
        size: (height, width) of the only images that the crop is defined for.
    """

    words: str
    box: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)
    size: tuple[int, int] | None = None

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """The crop's rows and columns in an image, (top, bottom, left, right), ends excluded.

        Raises:
            UserError: if the crop is of images of another size.
        """
        if self.size is None:
            top, bottom, left, right = self.box
            return int(top * height), int(bottom * height), int(left * width), int(right * width)
        if self.size != (height, width):
            raise UserError(
                f"the {self.words} is of {self.size[0]}x{self.size[1]} images, but a depth map is "
                f"{height}x{width}; choose another with --crop"
            )
        return tuple(int(edge) for edge in self.box)


CROPS: Mapping[str, Crop] = {
    "none": Crop("no crop"),
    "garg": Crop("garg crop", (0.40810811, 0.99189189, 0.03594771, 0.96405229)),
    # 22:590 of 612 columns and 61:169 of 185 rows: the region of Eigen's network at half size.
    "eigen": Crop("eigen crop", (0.3324324, 0.91351351, 0.0359477, 0.96405229)),
    # Two readings of the frame that NYU's toolbox cuts off (MATLAB's 45:471, 41:601): as 0-based
    # numbers with the ends excluded, and as what MATLAB means.
    "nyu": Crop("nyu crop [45:471, 41:601]", (45, 471, 41, 601), (480, 640)),
    "nyu_matlab": Crop("nyu_matlab crop [44:471, 40:601]", (44, 471, 40, 601), (480, 640)),
    "nyu_densedepth": Crop("nyu_densedepth crop [20:460, 24:616]", (20, 460, 24, 616), (480, 640)),
    # Rows 256:768 and columns 192:1856 of 1024x2048, where the bottom quarter is not in the view.
    "cityscapes": Crop("cityscapes crop [256:768, 192:1856]", (1 / 3, 1.0, 0.09375, 0.90625)),
}


@dataclasses.dataclass(frozen=True)
class View:
    """The part of each image, and of its truth, that an evaluation is about.

    Attributes:
        words: the view in words, for the protocol's sentence; "" for all of the image.
        image: (top, bottom, left, right) fractions of the image.
        truth: the same of the depth map, which may be a coarse grid of its own.
    """

    words: str = ""
    image: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)
    truth: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)

    def cut_truth(self, depth: np.ndarray) -> np.ndarray:
        """The view's part of a depth map [H, W, ...]."""
        return _cut(depth, self.truth)

    def cut(
        self, native: dict[str, np.ndarray], record: Record
    ) -> tuple[dict[str, np.ndarray], Record]:
        """Cuts a sample at its native size.

        Args:
            native: from `kdepth.data.sample.load_sample`; its image, stereo and depth are cut.
            record: its record.

        Returns:
            The sample's and the record's part in the view, the cameras cropped with the images.
        """
        boxes = {"image": self.image, "stereo": self.image, "depth": self.truth}
        cut = {
            key: _cut(value, boxes[key]) if key in boxes else value for key, value in native.items()
        }
        cameras = {}
        for name in ("camera", "stereo_camera"):
            camera = getattr(record, name)
            if camera is not None:
                top, bottom, left, right = _edges(self.image, camera.height, camera.width)
                cameras[name] = camera.crop(left, top, right - left, bottom - top)
        return cut, dataclasses.replace(record, **cameras)


VIEWS: Mapping[str, View] = {
    "whole": View(),
    # 852 of 2272 rows about the middle (2:1), and 21 of the laser grid's 55.
    "make3d_centre": View(
        "the middle rows of the image, 2:1",
        (710 / 2272, 1562 / 2272, 0.0, 1.0),
        (17 / 55, 38 / 55, 0.0, 1.0),
    ),
    # Below it is the car that carries the camera.
    "cityscapes": View("the image without its bottom quarter", *2 * ((0.0, 0.75, 0.0, 1.0),)),
}


def _edges(box: tuple[float, ...], height: int, width: int) -> tuple[int, int, int, int]:
    top, bottom, left, right = box
    return round(top * height), round(bottom * height), round(left * width), round(right * width)


def _cut(array: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    top, bottom, left, right = _edges(box, *array.shape[:2])
    return array[top:bottom, left:right]
