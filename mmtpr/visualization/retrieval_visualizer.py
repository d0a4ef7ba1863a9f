"""Ranked lists through mmengine's visualization backends."""

import logging
import os
import sys
from collections.abc import Sequence

import numpy as np
from mmengine.dist import master_only
from mmengine.logging import print_log
from mmengine.visualization import Visualizer

from mmtpr.registry import VISUALIZERS

from .draw import Layout, draw_rankings, save_png


@VISUALIZERS.register_module()
class RetrievalVisualizer(Visualizer):
    """Visualizer that draws what was found for a sentence.

    Args:
        name (str): Name of the instance. Defaults to ``'visualizer'``.
        layout (dict, optional): Arguments of :class:`Layout`: sizes and
            colours.
        **kwargs: Arguments of mmengine's Visualizer, ``vis_backends`` and
            ``save_dir`` above all.

    Examples:
        >>> # in a config
        >>> visualizer = dict(
        ...     type='mmtpr.RetrievalVisualizer',
        ...     vis_backends=[dict(type='TensorboardVisBackend')])
    """

    def __init__(
        self, name: str = 'visualizer', layout: dict | None = None, **kwargs
    ) -> None:
        super().__init__(name, **kwargs)
        self.layout = Layout(**(layout or {}))

    @master_only
    def add_ranking(
        self,
        name: str,
        queries: Sequence[dict],
        topk: int = 10,
        step: int = 0,
        image_root: str | os.PathLike | None = None,
        out_file: str | os.PathLike | None = None,
        show: bool = False,
        wait_time: float = 0,
    ) -> np.ndarray:
        """Draw ranked lists, show them, write them, pass them to backends.

        Args:
            name (str): Name of the image in the backends.
            queries (Sequence[dict]): See :func:`draw_rankings`.
            topk (int): Images in a row at most. Defaults to 10.
            step (int): Step of the run. Defaults to 0.
            image_root (str | PathLike, optional): Folder for relative paths.
            out_file (str | PathLike, optional): A PNG to write. If it is
                given, the backends get nothing. Defaults to None.
            show (bool): Whether to open a window. Defaults to False.
            wait_time (float): Seconds the window stays; 0 until a key is
                pressed. Defaults to 0.

        Returns:
            ndarray: Image of shape (H, W, 3), RGB, uint8.
        """
        drawn = draw_rankings(queries, topk, image_root, self.layout)
        self.set_image(drawn)
        if show and not _has_display():
            show, out_file = False, out_file or f'{name}.png'
            print_log(
                f'There is no display to show the ranking on; it is saved as '
                f'"{out_file}".',
                logger='current',
                level=logging.WARNING,
            )
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            save_png(drawn, out_file)
        else:
            self.add_image(name, drawn, step)
        return drawn


def _has_display() -> bool:
    """Tell whether matplotlib can open a window here."""
    import matplotlib  # takes a while, and few show anything

    headless = sys.platform.startswith('linux') and not (
        os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
    )
    return not headless and matplotlib.get_backend().lower() != 'agg'
