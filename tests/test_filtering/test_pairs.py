import copy

import pytest
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset

from mmtpr.filtering import dataset_fingerprint, pair_fingerprint, read_pairs
from mmtpr.structures.pairs import dataset_name, serialized_fingerprint

PATHS = ['/data/imgs/a/1.jpg', '/data/imgs/a/2.jpg', '/data/imgs/b/1.jpg']
CAPTIONS = ['a man', 'a woman', 'a child']


class ListDataset(BaseDataset):
    def __init__(self, entries, **kwargs):
        self.entries = entries
        super().__init__(**kwargs)

    def load_data_list(self):
        return copy.deepcopy(self.entries)


def entries(paths=PATHS, captions=CAPTIONS, key='caption'):
    return [
        {'img_path': path, key: caption, 'pid': 0}
        for path, caption in zip(paths, captions, strict=True)
    ]


@pytest.mark.parametrize('root', ['/mnt/other/imgs', 'imgs', 's3://bucket/x'])
def test_fingerprint_does_not_depend_on_the_root(root):
    moved = [path.replace('/data/imgs', root) for path in PATHS]
    assert pair_fingerprint(moved, CAPTIONS) == pair_fingerprint(
        PATHS, CAPTIONS
    )


def test_root_is_a_folder_not_a_piece_of_a_name():
    one = pair_fingerprint(['x/p_1.jpg', 'x/p_2.jpg'], ['a', 'b'])
    two = pair_fingerprint(['x/q_1.jpg', 'x/q_2.jpg'], ['a', 'b'])
    assert one != two


@pytest.mark.parametrize(
    ('paths', 'captions'),
    [
        (PATHS[::-1], CAPTIONS),
        (PATHS, CAPTIONS[::-1]),
        (PATHS[::-1], CAPTIONS[::-1]),
        (PATHS[:2], CAPTIONS[:2]),
        (PATHS, [*CAPTIONS[:2], 'a child.']),
        ([*PATHS[:2], '/data/imgs/b/3.jpg'], CAPTIONS),
        (PATHS, ['a mana', ' woman', 'a child']),
    ],
)
def test_fingerprint_changes_with_the_data(paths, captions):
    assert pair_fingerprint(paths, captions) != pair_fingerprint(
        PATHS, CAPTIONS
    )


def test_fingerprint_is_the_same_forever():
    assert pair_fingerprint(PATHS, CAPTIONS) == (
        '404ffe0460eeb6460080ccff47af2b3a'
    )


@pytest.mark.parametrize('key', ['caption', 'text', 'gt_caption'])
def test_known_caption_keys(key):
    pairs = read_pairs(ListDataset(entries(key=key)))
    assert pairs.paths == PATHS
    assert pairs.captions == CAPTIONS
    assert pairs.fingerprint == pair_fingerprint(PATHS, CAPTIONS)
    entry = pairs.image_entry(1)
    assert entry['img_path'] == PATHS[1]
    assert key not in entry
    assert entry['pid'] == 0


def test_keys_by_name():
    data = [dict(file=p, note=c) for p, c in zip(PATHS, CAPTIONS, strict=True)]
    dataset = ListDataset(data)
    assert dataset_fingerprint(dataset, 'file', 'note') == pair_fingerprint(
        PATHS, CAPTIONS
    )
    with pytest.raises(
        ValueError,
        match=r"ListDataset have no 'img_path', they have file, note.*image_k",
    ):
        read_pairs(dataset)
    with pytest.raises(
        ValueError,
        match=r"no 'caption' or 'text' or 'gt_caption'.*caption_key",
    ):
        read_pairs(dataset, image_key='file')


def test_concatenated_data():
    first, second = entries()[:2], entries()[2:]
    both = ConcatDataset([ListDataset(first), ListDataset(second)])
    assert dataset_fingerprint(both) == pair_fingerprint(PATHS, CAPTIONS)
    assert dataset_name(both) == 'ConcatDataset(ListDataset, ListDataset)'


def test_entry_without_one_text():
    data = entries()
    data[1]['caption'] = ['two', 'captions']
    with pytest.raises(TypeError, match='Entry 1 of ListDataset has list'):
        read_pairs(ListDataset(data))
    del data[1]['caption']
    with pytest.raises(TypeError, match='has nothing under'):
        read_pairs(ListDataset(data))


def test_progress_counts_all_pairs(counted):
    seen = counted('structures.pairs')
    assert len(read_pairs(ListDataset(entries()))) == len(PATHS)
    assert seen == {'Reading pairs': [len(PATHS)] * 2}


def many(change=None, number=300):
    """Entries of which a few are looked at and the rest is taken as bytes."""
    captions = [f'caption {i}' for i in range(number)]
    captions[1] = change or captions[1]
    return entries([f'/d/{i}.jpg' for i in range(number)], captions)


def test_serialized_data_are_told_apart():
    own = serialized_fingerprint(ListDataset(many()))
    assert own == serialized_fingerprint(ListDataset(many()))
    assert own == serialized_fingerprint(
        ListDataset(many(number=400), indices=300)
    )
    others = (
        ListDataset(many('another caption 1')),
        ListDataset(many()[::-1]),
        ListDataset(many()[:299]),
        ConcatDataset([ListDataset(many()), ListDataset(many())]),
    )
    found = {own, *map(serialized_fingerprint, others)}
    assert len(found) == 5
    assert None not in found


def test_what_a_class_makes_of_an_entry_counts():
    class Shouting(ListDataset):
        loud = False

        def get_data_info(self, idx):
            info = super().get_data_info(idx)
            if self.loud:
                info['caption'] = info['caption'].upper()
            return info

    class Elsewhere(ConcatDataset):
        def _get_ori_dataset_idx(self, idx):
            return super()._get_ori_dataset_idx(len(self) - 1 - idx)

    class Shorter(ListDataset):
        def __len__(self):
            return super().__len__() // 2

    # Any entry may be another one: the bytes tell nothing.
    for dataset in (
        Shouting(many()),
        Elsewhere([ListDataset(many())]),
        Shorter(many()),
    ):
        assert serialized_fingerprint(dataset) is None


def test_unknown_wrappers_and_plain_lists_are_read_as_a_whole():
    dataset = ListDataset(many())
    for other in (
        ListDataset(many(), serialize_data=False),
        RepeatDataset(dataset, 2),
        ConcatDataset([dataset, ListDataset(many(), serialize_data=False)]),
    ):
        assert serialized_fingerprint(other) is None
        assert len(dataset_fingerprint(other)) == 32
