"""What a page does, without a page."""

import json
import re

import pytest
from gallery_model import write_image
from served_page import page_search, write_gallery

from mmtpr.page import GalleryImages, PageSearch, check_photo


def ids(found):
    return [row['id'] for row in found.rows]


def test_pages_of_a_sentence(text_search):
    """Together they are what the searcher finds."""
    pages = [text_search.search('a man in red', page=n) for n in (1, 2, 3)]
    (whole,) = text_search.searcher('a man in red', k=25)
    assert [len(page.rows) for page in pages] == [10, 10, 5]
    assert [name for page in pages for name in ids(page)] == whole.ids
    ranks = [row['rank'] for page in pages for row in page.rows]
    assert ranks == list(range(1, 26))
    assert [page.more for page in pages] == [True, True, False]
    beyond = text_search.search('a man in red', page=4)
    assert (beyond.rows, beyond.more) == ([], False)
    assert not any('path' in row for row in pages[0].rows)


def test_a_page_that_is_just_full(text_gallery):
    search = page_search(*text_gallery, page_size=25)
    assert not search.search('a man').more
    search = page_search(*text_gallery, page_size=24)
    assert search.search('a man').more
    assert len(search.search('a man', page=2).rows) == 1


def test_filters(text_search):
    found = text_search.search('a man', where='camera == 1')
    assert {row['columns']['camera'] for row in found.rows} == {1}
    assert text_search.search('a man', where='  ').where is None
    assert text_search.searcher.column_kinds == dict(camera='int')


@pytest.mark.parametrize(
    ('query', 'why'),
    [
        (dict(sentence=''), 'The sentence is empty: write what to look'),
        (dict(sentence=' \n\u200b'), 'The sentence is empty'),
        (dict(sentence='a ' * 10_001), 'has 20,002 characters; at most'),
        (dict(sentence='a \udce4'), 'half of a character'),
        (dict(sentence='a', where='camera'), 'expected a comparison'),
        (dict(sentence='a', where='__import__("os")'), 'cannot be read'),
        (dict(sentence='a', where='colour == 1'), 'There is no column "colou'),
        (dict(sentence='a', where='camera == "a"'), 'camera'),
        (dict(sentence='a', page=0), 'page must be at least 1'),
        (dict(sentence='a', page=101), 'shows 1,000 images at most'),
    ],
)
def test_queries_that_are_refused(text_search, query, why):
    with pytest.raises(ValueError, match=why) as caught:
        text_search.search(**query)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('sentence', 'note'),
    [
        ('a man ' * 2000, 'of 12,000 characters is too long for the text'),
        ('a man 人', 'has no token for 1 letters .*人'),
    ],
)
def test_what_users_should_know(text_search, sentence, note):
    found = text_search.search(sentence)
    assert len(found.rows) == 10
    (line,) = found.notes
    assert re.search(note, line)
    assert text_search.search('a man').notes == []


def test_nobody_learns_which_files_there_are(text_search, tmp_path):
    path = tmp_path / 'secret'
    path.write_text('a')
    assert text_search.search(str(path)[-20:]).notes == []
    told = []
    for sentence in (str(path), str(path.with_name('absent'))):
        notes = ' '.join(text_search.search(sentence).notes)
        told.append(notes.replace(sentence, ''))  # its folder has any name
    assert told[0] == told[1]
    assert 'file' not in told[0]


def test_a_photo_needs_a_composed_model(text_search, composed_search):
    assert (text_search.takes_photo, composed_search.takes_photo) == (0, 1)
    photo = text_search.like('03.png')
    with pytest.raises(ValueError, match='sentences alone, no photo'):
        text_search.search('now in red', photo)


def test_a_result_as_the_photo(composed_search):
    first = composed_search.search('a man in red')
    name = first.rows[2]['id']
    photo = composed_search.like(name)
    found = composed_search.search('now in blue', photo)
    assert name not in ids(found)
    assert ids(found) != ids(composed_search.search('now in blue'))
    pages = [
        found,
        *(
            composed_search.search('now in blue', photo, page=n)
            for n in (2, 3)
        ),
    ]
    names = [name for page in pages for name in ids(page)]
    assert (len(names), len(set(names))) == (24, 24)
    assert found.to_dict()['reference'] == dict(id=name)
    with pytest.raises(ValueError, match='write what is different'):
        composed_search.search(' ', photo)
    with pytest.raises(ValueError, match='There is no image'):
        composed_search.like('../model/config.py')


def test_a_photo_from_elsewhere(composed_search, tmp_path):
    write_image(tmp_path / 'mine.png', (30, 225, 111))
    photo = check_photo(tmp_path / 'mine.png')
    found = composed_search.search('now in blue', photo)
    assert len(found.rows) == 10
    assert set(found.to_dict()['reference']) == {'sha256'}
    assert str(tmp_path) not in json.dumps(found.to_dict())


def test_models_without_vectors_of_sentences(composed_search, monkeypatch):
    """A photo comes first where one encoder fuses image and sentence."""
    encoder = composed_search.searcher.retriever.model.encoder
    monkeypatch.setattr(encoder, 'encode_query', print, raising=False)
    assert not composed_search.searcher.retriever.embeds_sentences
    composed_search.searcher.sentences_alone = False
    with pytest.raises(ValueError, match='choose a photo first'):
        composed_search.search('a man in red')


def test_votes(text_gallery, tmp_path):
    search = page_search(*text_gallery)
    search.votes.path = tmp_path / 'votes.jsonl'
    found = search.search('a man in red', where='camera < 2', page=2)
    name = found.rows[1]['id']
    search.vote(found, name, -1)
    (line,) = search.votes.path.read_text('utf-8').splitlines()
    vote = json.loads(line)
    assert vote.pop('time')
    assert vote.pop('score') == found.rows[1]['score']
    assert vote == dict(
        query='a man in red',
        reference=None,
        where='camera < 2',
        id=name,
        rank=12,
        vote=-1,
        model=text_gallery[1].identity.to_dict(),
    )
    for other, vote, why in (
        ('no.png', 1, 'Only images that were found'),
        (name, 2, 'A vote is 1'),
    ):
        with pytest.raises(ValueError, match=why):
            search.vote(found, other, vote)
    nobody = PageSearch(search.searcher, GalleryImages(search.images.store))
    with pytest.raises(ValueError, match='Votes are not kept'):
        nobody.vote(found, name, 1)


def test_what_is_new_in_the_store_is_found(tmp_path, needs_the_extra):
    from mmtpr.gallery import FaissStore

    search = page_search(tmp_path, write_gallery(tmp_path), page_size=30)
    assert len(search.search('a man').rows) == 25
    with FaissStore(tmp_path / 'store', write=True) as store:
        store.delete(['03.png', '04.png'])
    found = search.search('a man')
    assert len(found.rows) == 23
    assert '03.png' not in ids(found)
