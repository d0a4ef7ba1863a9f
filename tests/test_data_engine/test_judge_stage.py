"""Scores of pairs: by cheap measures and by small retrievers."""

from threading import Event

import numpy as np
import pytest
import torch
from engine_content import content
from engine_judged import judge_stage, judged, write_run
from engine_tool import call_tool, failing_tool
from gallery_model import write_composed_model, write_model
from PIL import Image

from mmtpr.data_engine import (
    ComposedJudge,
    IdentityJudge,
    ImageJudge,
    RelevanceJudge,
    StageFolder,
    run_stage,
)
from mmtpr.data_engine import judge_stage as stage_module
from mmtpr.data_engine.judges import Verdict
from mmtpr.data_engine.judges.identity_judge import colour_distance
from mmtpr.data_engine.judges.measures import (
    exposure,
    filled,
    noise,
    sharpness,
)
from mmtpr.data_engine.judges.person_detector import (
    PersonDetector,
    best_person,
)
from mmtpr.data_engine.judges.relevance_judge import change_share
from mmtpr.utils.errors import LaunchError


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    write_run(folder)
    return folder


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    return dict(
        text=write_model(folder / 'text'),
        composed=write_composed_model(folder / 'composed'),
    )


def test_damage_is_found(tmp_path):
    rows = write_run(tmp_path, 40, dict(damaged=0.2))
    folder, found = judged(tmp_path, ImageJudge())
    bad = [row['truth']['fault'] == 'damaged' for row in rows]
    scores = np.array([found[r['key']]['scores']['typical'] for r in rows])
    good, damaged = scores[~np.array(bad)], scores[bad]
    assert len(damaged) > 5
    auc = (good[:, None] > damaged[None]).mean()
    assert auc >= 0.95
    # Without others there is nothing to be typical of, but the measures.
    fields = folder.summary['fields']
    assert fields.keys() == ImageJudge().worst.keys()
    assert fields['typical']['least'] == scores.min()
    assert fields['typical']['mean'] == pytest.approx(scores.mean())
    assert folder.summary['unreadable'] == 0


def test_measures():
    rng = np.random.default_rng(0)
    plain = np.full((64, 32), 128, np.uint8)
    grainy = (plain + rng.normal(0, 10, plain.shape)).astype(np.uint8)
    assert sharpness(plain) == noise(plain) == 0
    assert noise(grainy) == pytest.approx(10, rel=0.15)
    assert sharpness(grainy) > 4
    half = plain.copy()
    half[:16] = 255
    assert exposure(half) == 0.75
    colour = np.stack([grainy] * 3, -1)
    assert filled(colour) == 1
    colour[32:] = 128
    assert filled(colour) == pytest.approx(0.5, abs=0.05)
    assert filled(np.stack([plain] * 3, -1)) == 0


def test_an_unreadable_image_has_the_worst_scores(tmp_path, monkeypatch):
    rows = write_run(tmp_path, 3)
    images = tmp_path / 'render/images'
    cut = images / rows[1]['target_image']
    cut.write_bytes(cut.read_bytes()[:-200])
    (images / rows[4]['reference_image']).unlink()
    told = []
    monkeypatch.setattr('mmtpr.data_engine.judge_stage.warn', told.append)
    folder, found = judged(tmp_path, ImageJudge())
    assert folder.summary['unreadable'] == 2
    assert folder.summary['kept'] == 6
    for row, raw in (
        (rows[1], 'target image: truncated'),
        (rows[4], 'reference image: missing'),
    ):
        bad = found[row['key']]
        assert bad['unreadable'] is True
        assert bad['raw'] == raw
        assert bad['scores'] == ImageJudge().worst
    assert 'unreadable' not in found[rows[0]['key']]
    assert len(told) == 1
    assert told[0].startswith('Of 2 of 6 pairs an image or an answer')


def test_images_are_decoded_ahead_of_a_judge(run, monkeypatch):
    """While it judges two pairs, the next two are decoded."""
    monkeypatch.setattr(stage_module, '_PART', 2)
    stage, ahead = judge_stage(run, ImageJudge()), []
    requests = stage.items(0)
    seen = {request.key: Event() for _, request in requests}
    problem = stage_module._problem

    def look(request):
        seen[request.key].set()
        return problem(request)

    class Waiting(ImageJudge):
        def prepare(self, sample):
            pass

        def judge(self, given):
            first = [request for _, request in requests].index(given[0])
            for key, _ in requests[first + 2 : first + 4]:
                ahead.append(seen[key].wait(20))
            yield from ((one, Verdict(dict(self.worst))) for one in given)

    monkeypatch.setattr(stage_module, '_problem', look)
    stage.judge = Waiting()
    made = [row['key'] for row in stage.process(requests)]
    assert made == [key for key, _ in requests]
    assert ahead == [True] * (len(requests) - 2)


def test_no_judge_sees_the_truth(run):
    (_, request), *_ = judge_stage(run, ImageJudge()).items(0)
    assert sorted(request.texts) == [
        *('edit', 'reference_caption', 'reverse_edit', 'target_caption'),
    ]


def test_a_sample_stands_for_the_run(run):
    stage = judge_stage(run, ImageJudge())
    found = stage.sample(6)
    assert found == stage.sample(6)
    assert len({one.index for one in found}) >= 4
    assert len(stage.sample(100)) == 12


def judges(models):
    text, composed = models['text'], models['composed']
    how = dict(device='cpu', batch_size=5)
    return dict(
        image=lambda: ImageJudge(),
        relevance=lambda: RelevanceJudge(*text, bank_size=10, **how),
        identity=lambda: IdentityJudge(*text, num_strangers=8, **how),
        composed=lambda: ComposedJudge(*composed, num_others=8, **how),
    )


@pytest.mark.parametrize('name', ['relevance', 'identity', 'composed'])
def test_a_run_that_stopped_gives_the_same_scores(run, models, name, tmp_path):
    build = judges(models)[name]
    whole, _ = judged(run, build(), name)
    stage, folder = judge_stage(run, build()), StageFolder(tmp_path / 'again')
    rows = stage._row

    def stop(request, verdict):
        if request.key == '000002-01':
            raise KeyboardInterrupt
        return rows(request, verdict)

    stage._row = stop
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, folder)
    run_stage(judge_stage(run, build()), folder)
    assert content(folder.folder) == content(whole.folder)


def test_relevance_is_the_rank_in_the_bank(run, models):
    judge = RelevanceJudge(*models['text'], bank_size=8, device='cpu')
    _, rows = judged(run, judge, 'ranked')
    stage = judge_stage(run, judge)
    (key, request), *_ = stage.items(1)
    tokens = judge.model.images([request.target])  # (1, T, D)
    texts = judge._texts
    assert len(texts) == 8
    own = request.texts['target_caption']
    scores = {
        text: float((tokens[0] @ judge.model.captions([text])[0]).max())
        for text in {*texts, own}
    }
    better = sum(scores[t] >= scores[own] - 1e-6 for t in texts if t != own)
    found = rows[key]['scores']
    assert found['target'] == pytest.approx(1 - better / 8, abs=1e-6)
    assert found['both'] == min(found['target'], found['reference'])


def test_a_change_is_compared_with_others():
    axes = torch.eye(3)[:, None]  # (3, T=1, D)
    edits = torch.eye(3)[:2]
    found = change_share(axes[2:].expand(2, 1, 3), axes[:2], edits, edits)
    # Gains 1 against 1 and 0: more than half of the others.
    assert found.tolist() == [0.5, 0.5]
    swapped = change_share(axes[:2], axes[2:].expand(2, 1, 3), edits, edits)
    assert swapped.tolist() == [0, 0]


def test_colours_of_heads():
    red, blue = np.zeros((20, 3)), np.full((20, 3), 30.0)
    half = np.concatenate([red[:12], blue[:8]])
    assert colour_distance(red, red) == 0
    assert colour_distance(red, half) == 0  # most of it is the same
    assert colour_distance(red, blue) == pytest.approx(30 * 3**0.5)


def test_a_text_retriever_is_no_composed_one(run, models):
    judge = ComposedJudge(*models['text'], device='cpu')
    with pytest.raises(LaunchError, match='is no composed retriever'):
        judged(run, judge, 'wrong')


def test_the_best_box_of_a_person():
    boxes = np.array(
        [[0, 10, 9, 90], [0, 0, 9, 100], [0, 40, 9, 60], [0, 5, 9, 95]]
    )
    labels, scores = np.array([1, 2, 1, 1]), np.array([0.6, 0.9, 0.8, 0.5])
    found = best_person(boxes, labels, scores, 100)
    assert found == dict(person=0.6, margin=0.1)
    none = best_person(boxes[1:3], labels[1:3], scores[1:3], 100)
    assert none == dict(person=0.0, margin=0.0)


def test_a_detector_of_torchvision(run, tmp_path):
    from torchvision.models import get_model

    name = 'ssdlite320_mobilenet_v3_large'
    torch.manual_seed(0)
    model = get_model(name, weights=None, weights_backbone=None)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    detector = dict(name=name, weights=str(tmp_path / 'weights.pth'))
    judge = ImageJudge(detector=dict(detector, device='cpu'))
    (_, request), *_ = judge_stage(run, judge).items(0)
    found = judge.detector.look(request.target)
    assert found.keys() == {'person', 'margin'}
    assert judge.worst.keys() > found.keys()
    for wrong in (dict(name='yolo'), dict(weights=__file__)):
        with pytest.raises(LaunchError, match='cannot be loaded'):
            PersonDetector(**(detector | wrong)).look(request.target)


def test_the_tool(run, tmp_path, monkeypatch):
    config = tmp_path / 'config.py'
    config.write_text('judges = dict(image=dict(type="mmtpr.ImageJudge"))')
    words = 'judge_pairs', config, run, '--judge'
    call_tool(monkeypatch, *words, 'image')
    first = content(run / 'judges/image')
    assert len(first) == 3
    call_tool(monkeypatch, *words, 'image')
    assert content(run / 'judges/image') == first
    told = failing_tool(monkeypatch, *words, 'vlm')
    assert 'The config has no judge "vlm"; it has image.' in told


@pytest.mark.parametrize(
    ('build', 'match'),
    [
        (lambda: ImageJudge(sample_size=1), 'sample_size must be > 1'),
        (lambda: IdentityJudge('x', num_strangers=1), 'num_strangers must'),
    ],
)
def test_settings_of_no_sense(build, match):
    with pytest.raises(ValueError, match=match):
        build()


def test_images_of_any_size(tmp_path):
    from mmtpr.data_engine.judges.identity_judge import head_colours

    Image.new('RGB', (300, 700), 'white').save(tmp_path / 'a.jpg')
    found = head_colours(tmp_path / 'a.jpg')
    assert found.shape == (84, 3) or found.shape[1] == 3
    assert found.mean(0) == pytest.approx([100, 0, 0], abs=0.5)
