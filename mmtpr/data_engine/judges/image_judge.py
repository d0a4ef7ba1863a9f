"""Pairs judged by cheap measures of their images, without a model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mmtpr.registry import SYNTHESIS

from .base import JudgeRequest, PairJudge, Sample, Verdict
from .measures import exposure, filled, noise, sharpness
from .person_detector import PersonDetector

#: Worst score of a measure: lower than any there can be.
_MEASURES = dict(sharpness=0.0, exposure=0.0, clean=-255.0, filled=0.0)
_TYPICAL = -1e3
_PERSON = dict(person=0.0, margin=0.0)
#: Standard deviation of a normal distribution by its median deviation.
_MAD = 1.4826


@SYNTHESIS.register_module()
class ImageJudge(PairJudge):
    """Sharpness, exposure, noise and empty areas; optionally a detector.

    Fields: ``sharpness``, ``exposure`` (share of the pixels that are neither
    black nor white), ``clean`` (minus the noise), ``filled`` (share that shows
    anything), each that of the worse image; and ``typical``: minus the
    largest distance of one of these from the median of the run, in robust
    standard deviations. It finds both blur and noise, and what is odd in
    another run need not be so in this one. With a detector, ``person``: the
    score of the best box, of a person who fills half of the height, and
    ``margin``: the room above and below that box as a share of the height, 0
    if it is cut off; both of the worse image.

    Args:
        sample_size (int): Pairs that stand for the run. Defaults to 512.
        detector (Mapping[str, Any], optional): Arguments of
            :class:`PersonDetector`. Defaults to None.
    """

    def __init__(
        self,
        sample_size: int = 512,
        detector: Mapping[str, Any] | None = None,
    ) -> None:
        if sample_size < 2:
            raise ValueError(f'sample_size must be > 1, got {sample_size}.')
        self.sample_size = sample_size
        self.detector = PersonDetector(**detector) if detector else None
        self.worst = dict(
            _MEASURES, typical=_TYPICAL, **(_PERSON if detector else {})
        )
        self._middle: dict[str, tuple[float, float]] = {}

    def settings(self) -> dict[str, Any]:
        """See :meth:`PairJudge.settings`."""
        detector = self.detector.settings() if self.detector else None
        return dict(
            judge='ImageJudge',
            sample_size=self.sample_size,
            detector=detector,
        )

    def prepare(self, sample: Sample) -> None:
        """See :meth:`PairJudge.prepare`."""
        found = [
            _measured(path)
            for request in sample(self.sample_size)
            for path in (request.reference, request.target)
        ]
        for name in _MEASURES:
            values = np.array([one[name] for one in found])
            middle = float(np.median(values)) if len(values) else 0.0
            spread = _MAD * np.median(np.abs(values - middle) if found else 0)
            # Where most are alike, small differences mean nothing.
            floor = 0.01 * max(1.0, abs(middle))
            self._middle[name] = middle, max(float(spread), floor)

    def judge(
        self, requests: Sequence[JudgeRequest]
    ) -> Iterator[tuple[JudgeRequest, Verdict]]:
        """See :meth:`PairJudge.judge`."""
        for request in requests:
            paths = request.reference, request.target
            both = [self._scores(path) for path in paths]
            scores = {
                name: min(one[name] for one in both) for name in self.worst
            }
            yield request, Verdict(scores)

    def _scores(self, path: Any) -> dict[str, float]:
        scores = _measured(path)
        distances = [
            abs(scores[name] - middle) / spread
            for name, (middle, spread) in self._middle.items()
        ]
        scores['typical'] = max(-max(distances), _TYPICAL)
        if self.detector is not None:
            scores |= self.detector.look(path)
        return scores


def _measured(path: Any) -> dict[str, float]:
    with Image.open(path) as opened:
        image = np.asarray(opened.convert('RGB'))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return dict(
        sharpness=sharpness(grey),
        exposure=exposure(grey),
        clean=-noise(grey),
        filled=filled(image),
    )
