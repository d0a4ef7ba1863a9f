"""Drawing of persons, their surroundings, and what a camera does to both."""

from .camera import body_light, photograph
from .canvas import Canvas
from .figure import Figure, Pose
from .scene import background, ground_shadow, occlude

__all__ = [
    'Canvas',
    'Figure',
    'Pose',
    'background',
    'body_light',
    'ground_shadow',
    'occlude',
    'photograph',
]
