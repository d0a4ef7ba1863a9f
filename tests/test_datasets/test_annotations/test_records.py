import pytest

from mmtpr.datasets import CUHKPEDES, ICFGPEDES, RSTPReid
from mmtpr.datasets.annotations.records import LAYOUTS, parse_records

GUIDE = 'docs/user_guides/data.md'


def error(kind=ValueError, dataset=CUHKPEDES, **kwargs):
    with pytest.raises(kind) as caught:
        dataset(**kwargs)
    return str(caught.value)


def test_missing_annotation_file(tmp_path):
    message = error(FileNotFoundError, data_root=str(tmp_path / 'nowhere'))
    assert f'"{tmp_path}/nowhere/reid_raw.json" does not exist' in message
    assert GUIDE in message


def test_missing_image_folder(write, records):
    message = error(
        FileNotFoundError,
        data_root=write(records),
        data_prefix=dict(img_path='images'),
    )
    assert 'images" of CUHKPEDES does not exist' in message
    assert 'data_prefix' in message
    assert GUIDE in message


def test_malformed_json_names_the_position(write):
    root = write('[{"id": 1,\n "split": }]')
    message = error(data_root=root)
    assert f'"{root}/reid_raw.json" is not valid json' in message
    assert 'line 2, column 11' in message


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ({'a': 1}, 'must be a json list of records, found dict'),
        ([], 'is an empty list'),
        ([1], 'has none of the known layouts'),
    ],
)
def test_not_a_list_of_records(write, content, expected):
    assert expected in error(data_root=write(content))


def test_unknown_layout_lists_the_known_ones_and_the_keys(write):
    message = error(data_root=write([dict(name='a', text='b')]))
    assert 'reid_raw: file_path, id, split, captions' in message
    assert 'aptm: image, image_id, caption' in message
    assert 'record 0 has the keys name, text' in message


def test_captions_under_the_other_key(write, records):
    records[5]['caption'] = records[5].pop('captions')
    message = error(data_root=write(records))
    assert 'Record 5 of' in message
    assert 'has the key "caption" where the layout has "captions"' in message


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (dict(id=None), 'the key "id" must hold an identity, found NoneType'),
        (
            dict(file_path=3),
            'the key "file_path" must hold a file name, found',
        ),
        (dict(split=0), 'the key "split" must hold a split, found int'),
        (dict(captions=7), 'the key "captions" must hold captions, found int'),
        (dict(captions=['a', 1]), "must hold captions, found int '1'"),
    ],
)
def test_wrong_values_name_record_and_key(write, records, change, expected):
    records[5].update(change)
    root = write(records)
    message = error(data_root=root)
    assert message.startswith(f'Record 5 of "{root}/reid_raw.json"')
    assert expected in message


@pytest.mark.parametrize('key', ['id', 'file_path', 'split'])
def test_missing_key_names_record_and_key(write, records, key):
    del records[3][key]
    message = error(data_root=write(records))
    assert 'Record 3 of "' in message
    assert f'has no key "{key}"' in message


def test_record_that_is_no_object(write, records):
    message = error(data_root=write([*records, 'x']))
    assert 'Record 16 of "' in message
    assert 'must be an object, found str' in message


@pytest.mark.parametrize('captions', [None, [], ['', ' \t']])
def test_record_without_caption(write, records, captions):
    records[2]['captions'] = captions
    if captions is None:
        del records[2]['captions']
    message = error(data_root=write(records))
    assert 'Record 2 of "' in message
    assert 'has no caption under the key "captions"' in message
    assert 'cam/11_0.jpg' in message
    assert 'empty_captions="skip"' in message


def test_one_empty_caption_of_two(write, records):
    records[2]['captions'][1] = '\u200b\n'
    assert 'Record 2' in error(data_root=write(records))


def test_captions_are_skipped_and_counted(write, records, log):
    records[2]['captions'] = []
    records[3]['captions'][0] = ' '
    del records[14]['captions']
    root = write(records)
    train = CUHKPEDES(data_root=root, empty_captions='skip')
    assert len(train) == 16 - 2 - 1
    lost = ['cam/11_0.jpg', 'cam/11_1.jpg']
    assert train.load_report['empty_captions'] == lost
    assert any('skipped 2 missing or empty captions' in line for line in log)
    assert any('first of the image "cam/11_0.jpg"' in line for line in log)
    test = CUHKPEDES(data_root=root, split='test', empty_captions='skip')
    roles = [test.get_data_info(i)['role'] for i in range(len(test))]
    # the image stays in the gallery
    assert (roles.count('query'), roles.count('gallery')) == (6, 4)


def test_empty_split_lists_those_found(write, records):
    root = write([r for r in records if r['split'] != 'val'])
    message = error(data_root=root, split='val')
    assert 'has no split "val"' in message
    assert 'test (4 images), train (8 images)' in message
    assert 'val_pids=N' in message
    root = write([r for r in records if r['split'] == 'train'])
    message = error(data_root=root, split='test')
    assert 'it has train (8 images)' in message
    assert 'val_pids' not in message


def test_val_pids_where_there_is_a_val_split(write, records):
    message = error(data_root=write(records), val_pids=2)
    assert 'has a val split of its own; remove val_pids=2' in message


def test_val_pids_that_take_all(write, records):
    train = [r for r in records if r['split'] == 'train']
    root = write(train, 'ICFG-PEDES.json')
    message = error(dataset=ICFGPEDES, data_root=root, val_pids=4)
    assert 'val_pids=4 leaves no training identity' in message


def test_caption_all_with_another_number_of_ids(write, records):
    for record in records:
        del record['split']
    message = error(data_root=write(records))
    assert (
        '8 identities do not match split_pids=(11003, 1000, 1000)' in message
    )


@pytest.mark.parametrize(
    'choice',
    [
        dict(split='dev'),
        dict(form='triplets'),
        dict(broken_images='ignore'),
        dict(empty_captions='keep'),
    ],
)
def test_unknown_choices(choice):
    ((name, value),) = choice.items()
    message = error(dataset=RSTPReid, **choice)
    assert f'{name}={value!r} of RSTPReid must be one of' in message


@pytest.fixture
def broken_root(write, records):
    """A text file, a cut-off image and a missing one among the train set."""
    root = write(records)
    folder = f'{root}/imgs/cam'
    with open(f'{folder}/10_0.jpg', 'wb') as file:
        file.write(b'not an image')
    with open(f'{folder}/11_1.jpg', 'rb+') as file:
        file.truncate(file.seek(0, 2) - 60)
    records[6]['file_path'] = 'cam/none.jpg'
    return write(records, key='nothing')


def test_broken_images_are_named_when_met(broken_root):
    pipeline = [
        dict(
            type='mmtpr.ImageTransforms',
            transforms=[dict(type='LoadImageFromFile')],
        )
    ]
    data = CUHKPEDES(data_root=broken_root, pipeline=pipeline)
    assert len(data) == 16
    with pytest.raises(ValueError, match='does not decode') as caught:
        data[0]
    assert 'imgs/cam/10_0.jpg' in str(caught.value)
    assert 'broken_images="skip"' in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r'cam/none.jpg" does not'):
        data[12]


def test_broken_images_are_skipped_and_counted(broken_root, log):
    data = CUHKPEDES(data_root=broken_root, broken_images='skip')
    problems = data.load_report['broken_images']
    short = {path.rsplit('/', 1)[1]: why for path, why in problems.items()}
    # decoders differ in whether they take a cut-off image
    assert short.pop('11_1.jpg') in ('truncated', 'does not decode')
    assert short == {'10_0.jpg': 'does not decode', 'none.jpg': 'missing'}
    assert len(data) == 16 - 6
    assert data.metainfo['num_images'] == 5
    line = next(line for line in log if 'broken images' in line)
    assert 'skipped 3 of 8 records of the split "train"' in line
    assert '10_0.jpg (does not decode)' in line


def test_labels_have_no_gap_after_skipping(broken_root, records):
    data = CUHKPEDES(data_root=broken_root, broken_images='skip')
    pids = {data.get_data_info(i)['pid'] for i in range(len(data))}
    assert pids == set(range(data.metainfo['num_pids']))


def test_nothing_left(write, records):
    root = write(records[:1])
    with open(f'{root}/imgs/cam/10_0.jpg', 'wb') as file:
        file.write(b'')
    message = error(data_root=root, broken_images='skip')
    assert 'No sample of the split "train"' in message


@pytest.mark.parametrize(
    ('name', 'plain'),
    [('Train', 'train'), ('VAL', 'val'), (' test ', 'test'), ('valid', 'val')],
)
def test_splits_in_another_spelling(name, plain):
    raw = [dict(file_path='a', captions=['x'], id=1, split=name)]
    (found,) = parse_records(raw, LAYOUTS['reid_raw'], 'f.json')
    assert found.split == plain


@pytest.mark.parametrize(
    ('name', 'match'),
    [
        ('tarin', r'Record 1 of "f.json" is of the split "tarin".*train\?'),
        ('query', r'split "query", but there are train, val, test\. Correct'),
        ('', r'is of the split ""'),
    ],
)
def test_splits_that_do_not_exist(name, match):
    good = dict(file_path='a', captions=['x'], id=1, split='train')
    raw = [good, dict(good, split=name)]
    with pytest.raises(ValueError, match=match):
        parse_records(raw, LAYOUTS['reid_raw'], 'f.json')


@pytest.mark.parametrize('nothing', [None, float('nan'), '', '  '])
@pytest.mark.parametrize('listed', [True, False])
def test_captions_of_nothing(nothing, listed):
    """null and NaN, among captions or in their place."""
    captions = ['x', nothing] if listed else nothing
    raw = [dict(file_path='a', captions=captions, id=1, split='train')]
    (found,) = parse_records(raw, LAYOUTS['reid_raw'], 'f.json', 'skip')
    assert found.captions == (('x',) if listed else ())
    assert found.lost == 1
    with pytest.raises(ValueError, match=r'Record 0 .*(no|an empty) caption'):
        parse_records(raw, LAYOUTS['reid_raw'], 'f.json')


@pytest.mark.parametrize('pid', ['', ' 0', '0\n', 2**63, str(2**63), -(2**70)])
def test_identities_that_are_none(pid):
    raw = [dict(file_path='a', captions=['x'], id=pid, split='train')]
    with pytest.raises(ValueError, match=r'Record 0 .*identity'):
        parse_records(raw, LAYOUTS['reid_raw'], 'f.json')


@pytest.mark.parametrize(
    ('pid', 'found'),
    [('007', 7), (-3, -3), ('٣', '٣'), ('a b', 'a b'), (2**61, 2**61)],
)
def test_identities_as_numbers_and_names(pid, found):
    raw = [dict(file_path='a', captions=['x'], id=pid, split='train')]
    assert parse_records(raw, LAYOUTS['reid_raw'], 'f.json')[0].pid == found


def test_another_key_of_the_prefix():
    with pytest.raises(ValueError, match="data_prefix has 'img'; the folder"):
        CUHKPEDES(data_prefix=dict(img='imgs'), lazy_init=True)
