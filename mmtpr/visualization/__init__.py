"""Images of ranked lists."""

from .draw import Layout, draw_rankings, save_png
from .retrieval_visualizer import RetrievalVisualizer

__all__ = ['Layout', 'RetrievalVisualizer', 'draw_rankings', 'save_png']
