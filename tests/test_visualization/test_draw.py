"""What is drawn, and where."""

import numpy as np
import pytest
from PIL import Image

from mmtpr.visualization import Layout, draw_rankings
from mmtpr.visualization.draw import _font, wrap

LAYOUT = Layout(width=30, height=60, frame=3, gap=4, margin=6)


@pytest.fixture
def images(tmp_path):
    """Four plain images by relative name and their colours."""
    colours = [(10, 20, 30), (200, 10, 10), (10, 10, 200), (90, 90, 20)]
    for number, colour in enumerate(colours):
        Image.new('RGB', (30, 60), colour).save(tmp_path / f'{number}.png')
    return tmp_path, colours


def query(order, correct, **kwargs):
    ranking = [
        dict(img_path=f'{number}.png', score=0.5, correct=right)
        for number, right in zip(order, correct, strict=True)
    ]
    return dict(caption='a man in a red coat', ranking=ranking, **kwargs)


def cell(image, column, layout=LAYOUT):
    """Cut a cell out of the last row; rows end with label and margin."""
    width, height = layout.cell
    bottom = len(image) - layout.label - layout.margin // 2
    left = layout.left_of(column)
    return image[bottom - height : bottom, left : left + width]


def frame_of(part, layout=LAYOUT):
    """The one colour of the frame, all four sides."""
    mask = np.ones(part.shape[:2], dtype=bool)
    mask[layout.frame : -layout.frame, layout.frame : -layout.frame] = False
    colours = np.unique(part[mask], axis=0)
    assert len(colours) == 1
    return tuple(colours[0].tolist())


def test_frames_and_images(images):
    root, colours = images
    image = draw_rankings(
        [query([2, 0, 1], [False, True, None])],
        image_root=root,
        layout=LAYOUT,
    )
    assert image.dtype == np.uint8
    frames = [LAYOUT.wrong, LAYOUT.right, LAYOUT.unknown]
    for column, (number, frame) in enumerate(
        zip([2, 0, 1], frames, strict=True)
    ):
        part = cell(image, column)
        assert frame_of(part) == frame
        inside = part[5:-5, 5:-5].reshape(-1, 3)
        assert (inside == colours[number]).all()


def test_rows_topk_and_reference(images):
    root, colours = images
    one = query([0, 1, 2], [True] * 3, img_path='3.png')
    two = query([0, 1, 2], [False, True, False])
    image = draw_rankings([two, one], 2, root, LAYOUT)
    alone = draw_rankings([one], 2, root, LAYOUT)
    np.testing.assert_array_equal(image[-len(alone) :], alone)
    assert len(image) == 2 * len(alone)
    assert frame_of(cell(alone, 0)) == LAYOUT.unknown
    assert (cell(alone, 0)[30, 18] == colours[3]).all()
    assert frame_of(cell(alone, 2)) == LAYOUT.right
    # In a row without reference its place stays empty.
    upper = image[: len(alone)]
    assert (cell(upper, 0) == 255).all()
    assert frame_of(cell(upper, 1)) == LAYOUT.wrong


def test_long_sentences_grow_the_row(images):
    root, _ = images
    short = draw_rankings([query([0], [True])], image_root=root)
    entry = dict(query([0], [True]), caption='a very long sentence ' * 20)
    long = draw_rankings([entry], image_root=root)
    assert long.shape[1] == short.shape[1]
    assert len(long) > len(short) + 60
    assert (cell(long, 0, Layout()) == cell(short, 0, Layout())).all()


def test_wrap():
    font = _font(15)
    text = 'The woman wears a red coat and incomprehensibilities'
    lines = wrap(text, font, 90)
    assert all(font.getlength(line) <= 90 for line in lines)
    assert ''.join(lines).replace(' ', '') == text.replace(' ', '')
    assert lines[0] == 'The woman'
    assert wrap('', font, 90) == []


def test_unreadable_image_is_drawn_as_empty_cell(images):
    root, _ = images
    (root / '1.png').write_bytes(b'no image')
    image = draw_rankings(
        [query([1, 9], [True, False])], image_root=root, layout=LAYOUT
    )
    for column, frame in enumerate((LAYOUT.right, LAYOUT.wrong)):
        part = cell(image, column)
        assert frame_of(part) == frame
        assert (part[-10:-5, 5:-5] == 255).all()


def test_proportions_are_kept(tmp_path):
    Image.new('RGB', (60, 60), (9, 9, 9)).save(tmp_path / '0.png')
    image = draw_rankings(
        [query([0], [True])], image_root=tmp_path, layout=LAYOUT
    )
    part = cell(image, 0)
    dark = (part == 9).all(axis=-1)
    assert dark.any(axis=1).sum() == dark.any(axis=0).sum() == 30


def test_nothing_to_draw():
    with pytest.raises(ValueError, match='no queries'):
        draw_rankings([])
