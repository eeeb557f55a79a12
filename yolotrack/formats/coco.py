"""COCO's JSON of detection (https://cocodataset.org/#format-data), with the tracks' ids and the videos of COCO-VID.

Annotations come before images in the file: a run that goes on meanwhile may have more images than annotations, but
no annotation is without its image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

import pyarrow as pa

from yolotrack.errors import OutputError
from yolotrack.formats.plain import plain_rows

_COLUMNS = (
    "run_id", "frame", "tracker_id", "class_id", "class_name", "confidence", "x_min", "y_min", "x_max", "y_max",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Video:
    """A run as COCO-VID sees it."""

    run_id: str
    stream: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Image:
    """A frame of a run that was tracked, with or without tracks in it."""

    run_id: str
    frame: int
    media_time: float


def write_coco(
    file: BinaryIO, videos: Iterable[Video], batches: Iterable[pa.RecordBatch], images: Iterable[Image]
) -> None:
    """One JSON object into an open file, in flat memory; `images` are asked for once all batches are written.

    Ids count from 1: those of videos and annotations as they come, of images so that one video's are its frames.
    `OutputError` where two runs call one class by different names.
    """
    numbering = _Numbering(videos)
    names: dict[int, str] = {}
    file.write(b'{"info": {"description": "written by yolotrack"}')
    _write_list(file, "videos", numbering.videos())
    _write_list(file, "annotations", _annotations(batches, numbering, names))
    _write_list(file, "images", map(numbering.image, images))
    _write_list(file, "categories", ({"id": number, "name": names[number]} for number in sorted(names)))
    file.write(b"\n}\n")


class _Numbering:
    def __init__(self, videos: Iterable[Video]) -> None:
        self._videos = {video.run_id: (number, video) for number, video in enumerate(videos, 1)}

    def videos(self) -> Iterator[dict[str, Any]]:
        for number, video in self._videos.values():
            yield {"id": number, "name": video.stream, "run_id": video.run_id}

    def image_id(self, run_id: str, frame: int) -> int:
        """Different for every frame of every run, however long runs may become."""
        return frame * len(self._videos) + self._videos[run_id][0]

    def image(self, image: Image) -> dict[str, Any]:
        number, video = self._videos[image.run_id]
        return {
            "id": self.image_id(image.run_id, image.frame),
            "file_name": f"{video.stream}/{image.frame:06}.jpg",
            "width": video.width,
            "height": video.height,
            "video_id": number,
            "frame_id": image.frame,
            "media_time": image.media_time,
        }


def _annotations(
    batches: Iterable[pa.RecordBatch], numbering: _Numbering, names: dict[int, str]
) -> Iterator[dict[str, Any]]:
    rows = chain.from_iterable(plain_rows(batch.select(_COLUMNS)) for batch in batches)
    for number, (run_id, frame, track, class_id, name, confidence, *sides) in enumerate(rows, 1):
        _know(names, class_id, name)
        x_min, y_min, x_max, y_max = sides
        width, height = round(x_max - x_min, 3), round(y_max - y_min, 3)
        yield {
            "id": number,
            "image_id": numbering.image_id(run_id, frame),
            "category_id": class_id,
            "bbox": [x_min, y_min, width, height],
            "area": round(width * height, 3),
            "iscrowd": 0,
            "score": confidence,
            "track_id": track,
        }


def _know(names: dict[int, str], class_id: int, name: str) -> None:
    if names.setdefault(class_id, name) != name:
        raise OutputError(
            f"class {class_id} is {names[class_id]} in one run and {name} in another: export each with --run"
        )


def _write_list(file: BinaryIO, name: str, values: Iterable[Mapping[str, Any]]) -> None:
    file.write(f',\n"{name}": ['.encode())
    separator = "\n"
    for value in values:
        file.write((separator + json.dumps(value, ensure_ascii=False)).encode())
        separator = ",\n"
    file.write(b"\n]")
