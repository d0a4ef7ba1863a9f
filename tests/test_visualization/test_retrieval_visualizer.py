"""RetrievalVisualizer through the registry and a backend."""

import numpy as np
from PIL import Image

from mmtpr.registry import VISUALIZERS


def build(name, **kwargs):
    return VISUALIZERS.build(
        dict(
            type='mmtpr.RetrievalVisualizer',
            name=name,
            layout=dict(width=20, height=40),
            **kwargs,
        )
    )


def queries(folder):
    Image.new('RGB', (20, 40), (1, 2, 3)).save(folder / 'a.png')
    item = dict(img_path=str(folder / 'a.png'), score=0.25, correct=True)
    return [dict(caption='a man', ranking=[item, item])]


def test_writes_a_file(tmp_path):
    visualizer = build('file')
    out = tmp_path / 'new' / 'ranking.png'
    image = visualizer.add_ranking('x', queries(tmp_path), out_file=out)
    with Image.open(out) as saved:
        assert saved.format == 'PNG'
        np.testing.assert_array_equal(np.asarray(saved), image)
    np.testing.assert_array_equal(visualizer.get_image(), image)


def test_passes_to_backends(tmp_path):
    visualizer = build(
        'backend',
        vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path / 'vis'),
    )
    image = visualizer.add_ranking('found', queries(tmp_path), step=7)
    (saved,) = (tmp_path / 'vis').rglob('found_7.png')
    assert Image.open(saved).size == image.shape[1::-1]


def test_topk_and_layout(tmp_path):
    visualizer = build('topk')
    wide = visualizer.layout
    entry = queries(tmp_path)[0]
    entry['ranking'] = entry['ranking'] * 10
    image = visualizer.add_ranking(
        'x', [entry], topk=18, out_file=tmp_path / 'x.png'
    )
    assert image.shape[1] == wide.row_width(18)
