"""tools/analysis/visualize_ranking.py, from a file and from a checkpoint."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmtpr.registry import MODELS
from mmtpr.synthesis import ComposedSettings, write_composed_toy_data
from mmtpr.testing import (
    tiny_encoder_cfg,
    tiny_retriever_cfg,
    write_tiny_cuhk,
)
from mmtpr.visualization import Layout, draw_rankings


@pytest.fixture
def tool(load_tool):
    return load_tool('visualize_ranking')


@pytest.fixture
def saved(tmp_path):
    """Ranked lists of five queries over one image."""
    Image.new('RGB', (20, 50), (3, 4, 5)).save(tmp_path / 'a.png')
    firsts = [(1, 0.9), (7, 0.1), (1, 0.5), (3, 0.3), (None, 0)]
    queries = [
        dict(
            index=index,
            id=index,
            caption=f'person {index}',
            img_path=None,
            first_rank=first,
            AP=precision,
            ranking=[dict(img_path='a.png', score=0.5, correct=first == 1)]
            * 4,
        )
        for index, (first, precision) in enumerate(firsts)
    ]
    content = dict(version=1, queries=queries)
    (tmp_path / 'ranking.json').write_text(json.dumps(content))
    return tmp_path, queries


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['--queries', 3, 0], [3, 0]),
        (['--select', 'first', '--num', 2], [0, 1]),
        (['--select', 'best', '--num', 3], [0, 2, 3]),
        (['--select', 'worst', '--num', 9], [1, 3, 2, 0]),
    ],
)
def test_choice(tool, saved, options, expected):
    folder, queries = saved
    out = folder / 'x' / 'out.png'
    ranking = folder / 'ranking.json'
    common = ['--image-root', folder, '--out', out, '--topk', 3]
    tool('--ranking', ranking, *common, *options)
    drawn = draw_rankings([queries[i] for i in expected], 3, folder)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), drawn)


def test_random_choice_is_seeded(tool, saved):
    folder, _ = saved
    images = []
    for number, seed in enumerate((0, 0, 1)):
        out = folder / f'{number}.png'
        tool(
            *('--ranking', folder / 'ranking.json', '--num', 4),
            *('--seed', seed, '--image-root', folder, '--out', out),
        )
        images.append(out.read_bytes())
    assert images[0] == images[1] != images[2]


def test_messages(tool, saved, capsys):
    folder, _ = saved
    with pytest.raises(SystemExit, match='queries from 0 to 4'):
        tool('--ranking', folder / 'ranking.json', '--queries', 5)
    with pytest.raises(SystemExit, match=r'No checkpoint "absent.pth"'):
        tool('config.py', 'absent.pth')
    with pytest.raises(SystemExit):
        tool('config.py')
    assert 'give CONFIG and CKPT, or --ranking' in capsys.readouterr().err


def test_from_a_checkpoint(tool, tmp_path, capsys):
    root = write_tiny_cuhk(tmp_path / 'data')
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(32, 64), keep_ratio=False),
    ]
    pipeline = [
        dict(type='mmtpr.ImageTransforms', transforms=load),
        dict(type='mmtpr.TokenizeCaption', context_length=32),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    dataset = dict(
        type='mmtpr.CUHKPEDES',
        data_root=str(root),
        split='test',
        test_mode=True,
        pipeline=pipeline,
    )
    cfg = Config(
        dict(
            default_scope='mmtpr',
            model=tiny_retriever_cfg(),
            test_dataloader=dict(
                dataset=dataset,
                batch_size=8,
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            test_cfg=dict(),
            test_evaluator=dict(type='mmtpr.PersonRetrievalMetric'),
        )
    )
    cfg.dump(tmp_path / 'config.py')
    state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'model.pth')
    out = tmp_path / 'ranking.png'
    tool(
        *(tmp_path / 'config.py', tmp_path / 'model.pth', '--out', out),
        *('--num', 2, '--topk', 6, '--work-dir', tmp_path / 'work'),
    )
    assert 'ranking.png: 2 queries' in capsys.readouterr().out
    drawn = np.asarray(Image.open(out))
    layout = Layout()
    # 6 images of 3 persons, 2 each: two green frames a row, at one height.
    assert drawn.shape[1] == layout.row_width(6)
    bottom = len(drawn) - layout.label - layout.margin // 2 - 3
    colours = [
        tuple(drawn[bottom, layout.left_of(c) + 9].tolist()) for c in range(6)
    ]
    assert colours.count(layout.right) == 2
    assert colours.count(layout.wrong) == 4
    # As in a test: a checkpoint with gaps stops, nothing is drawn.
    state.pop('encoder.clip.text_projection')
    torch.save(dict(state_dict=state), tmp_path / 'gap.pth')
    gap = (tmp_path / 'config.py', tmp_path / 'gap.pth')
    work = ('--work-dir', tmp_path / 'work')
    text = r'1 missing key .encoder.clip.text_projection'
    with pytest.raises(SystemExit, match=text):
        tool(*gap, '--out', tmp_path / 'gap.png', *work)
    assert not (tmp_path / 'gap.png').exists()


def test_reference_images_stand_in_front(tool, tmp_path):
    settings = ComposedSettings(size=(64, 32), train=1, val=1, test=2)
    write_composed_toy_data(tmp_path / 'data', settings)
    pipeline = [
        dict(
            type='mmtpr.ImageTransforms',
            transforms=[dict(type='LoadImageFromFile')],
        ),
        dict(type='mmtpr.TokenizeCaption', context_length=48),
        dict(type='mmtpr.PackRetrievalInputs'),
    ]
    cfg = Config(
        dict(
            default_scope='mmtpr',
            model=dict(
                type='mmtpr.ComposedPersonRetriever',
                encoder=tiny_encoder_cfg(context_length=48),
                query=dict(type='mmtpr.PseudoWordQuery'),
            ),
            test_dataloader=dict(
                dataset=dict(
                    type='mmtpr.ITCPR',
                    data_root=str(tmp_path / 'data/test'),
                    pipeline=pipeline,
                ),
                batch_size=8,
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            test_cfg=dict(),
            test_evaluator=dict(type='mmtpr.ComposedRetrievalMetric'),
        )
    )
    cfg.dump(tmp_path / 'config.py')
    state = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'model.pth')
    out = tmp_path / 'ranking.png'
    tool(
        *(tmp_path / 'config.py', tmp_path / 'model.pth', '--out', out),
        *('--num', 1, '--topk', 12, '--work-dir', tmp_path / 'work'),
    )
    drawn, layout = np.asarray(Image.open(out)), Layout()
    assert drawn.shape[1] == layout.row_width(1 + 12)
    bottom = len(drawn) - layout.label - layout.margin // 2 - 3
    colours = [
        tuple(drawn[bottom, layout.left_of(c) + 9].tolist()) for c in range(13)
    ]
    assert colours[0] == layout.unknown  # the reference
    assert colours.count(layout.right) == 1
    assert colours.count(layout.wrong) == 11


def test_a_drawing_that_is_there_stays(tool, saved):
    folder, _ = saved
    out = folder / 'out.png'
    out.write_text('mine')
    words = ('--ranking', folder / 'ranking.json', '--out', out)
    with pytest.raises(SystemExit, match=r'exists already; --overwrite'):
        tool(*words)
    assert out.read_text() == 'mine'
    tool(*words, '--overwrite')
    assert out.read_bytes().startswith(b'\x89PNG')
