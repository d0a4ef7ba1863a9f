"""The page as programs see it: its API, its files, its login."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from gallery_model import write_image
from PIL import Image
from served_page import page_on_free_port, page_search

from mmtpr.page import is_local, read_login
from mmtpr.page.events import Events
from mmtpr.utils.errors import LaunchError

WHY = 'the extra [demo] is not installed'
gradio = pytest.importorskip('gradio', reason=WHY)
client = pytest.importorskip('gradio_client', reason=WHY)
httpx = pytest.importorskip('httpx', reason=WHY)


def serve(gallery, **kwargs):
    return page_on_free_port(page_search(*gallery), **kwargs)


def connect(page, tmp_path, **kwargs):
    return client.Client(
        page.local_url, verbose=False, download_files=tmp_path, **kwargs
    )


@pytest.fixture(scope='module')
def text_page(text_gallery):
    with serve(text_gallery, megabytes=0.1) as page:
        yield page


@pytest.fixture(scope='module')
def composed_page(composed_gallery):
    with serve(composed_gallery, megabytes=0.1) as page:
        yield page


@pytest.fixture
def text(text_page, tmp_path):
    return connect(text_page, tmp_path)


@pytest.fixture
def composed(composed_page, tmp_path):
    return connect(composed_page, tmp_path)


def failing(client_, *args, **kwargs):
    """The sentence in which a call ends."""
    with pytest.raises(client.exceptions.AppError) as caught:
        client_.predict(*args, **kwargs)
    return str(caught.value)


def test_search(text, text_search):
    """The same as without a page."""
    query = dict(sentence='a man in red', where='camera < 2', page=2)
    found = text.predict(**query, api_name='/search')
    assert found == text_search.search(**query).to_dict()
    assert len(found['rows']) == 7


def test_only_these_functions_are_offered(text):
    offered = text.view_api(return_format='dict', print_info=False)
    assert set(offered['named_endpoints']) == {'/search', '/image', '/vote'}
    assert not offered['unnamed_endpoints']


def test_images(text):
    path = text.predict(id='03.png', api_name='/image')
    with Image.open(path) as image:
        assert image.format == 'JPEG'
        assert image.size == (256, 512)


def test_who_loads_an_image_is_not_cut_off(text, composed_search):
    """No two answers share a file, which Gradio writes in place."""
    answers = [text.predict('03.png', api_name='/image') for _ in range(2)]
    assert Path(answers[0]).read_bytes() != Path(answers[1]).read_bytes()
    events = Events(gradio, composed_search, None)
    shown = [events.first_page('a man', None, '')[1]['value'] for _ in '12']
    shown += [[events.take('03.png')[1:]] for _ in '12']
    own = [image.info['comment'] for page in shown for image, _ in page]
    assert len(set(own)) == len(own) == 2 * 10 + 2


@pytest.mark.parametrize(
    'name', ['../model/model.pth', '../../etc/passwd', '/etc/passwd', '']
)
def test_no_other_images(text, name):
    told = failing(text, id=name, api_name='/image')
    assert told == f'There is no image "{name}" in the gallery.'


def test_an_image_without_an_id(text):
    told = failing(text, id=None, api_name='/image')
    assert told == 'There is no image "None" in the gallery.'


def test_votes(text, text_gallery):
    query = dict(sentence='a man ä', where='', page=1)
    found = text.predict(**query, api_name='/search')
    name = found['rows'][3]['id']
    text.predict(id=name, vote=-1, **query, api_name='/vote')
    file = text_gallery[0] / 'votes.jsonl'
    vote = json.loads(file.read_text('utf-8').splitlines()[-1])
    assert (vote['query'], vote['id'], vote['vote']) == ('a man ä', name, -1)
    told = failing(text, id='no.png', vote=1, **query, api_name='/vote')
    assert told == 'Only images that were found can be voted on.'


@pytest.mark.parametrize(
    ('query', 'why'),
    [
        (dict(sentence=''), 'The sentence is empty'),
        (dict(sentence='a' * 30_000), '30,000 characters'),
        (dict(sentence='a', where='x == 1'), 'There is no column "x"'),
        (dict(sentence='a', where='camera is 1'), 'cannot be read at'),
        (dict(sentence='a', like='03.png'), 'sentences alone, no photo'),
    ],
)
def test_mistakes_end_in_one_sentence(text, query, why):
    told = failing(text, **query, api_name='/search')
    assert why in told
    assert 'Traceback' not in told


def test_bugs_stay_in_the_log(text_page, text, monkeypatch):
    def broken(*_):
        raise KeyError('/a/secret/path')

    monkeypatch.setattr('mmtpr.page.page_search.PageSearch._check', broken)
    told = failing(text, sentence='a', api_name='/search')
    assert told == 'Something went wrong; the log of the server says what.'


def test_a_photo(composed, composed_search, tmp_path):
    write_image(tmp_path / 'mine.png', (30, 225, 111))
    photo = client.handle_file(str(tmp_path / 'mine.png'))
    query = dict(sentence='now in blue', photo=photo, api_name='/search')
    found = composed.predict(**query)
    assert list(found['reference']) == ['sha256']
    first = composed.predict(sentence='now in blue', api_name='/search')
    assert first['rows'] != found['rows']
    like = composed.predict(
        sentence='now in blue', like='03.png', api_name='/search'
    )
    photo = composed_search.like('03.png')
    assert like == composed_search.search('now in blue', photo).to_dict()
    assert 'not both' in failing(composed, **query, like='03.png')
    told = failing(composed, sentence='a', like='../a', api_name='/search')
    assert 'There is no image "../a"' in told


def test_photos_that_are_refused(composed, tmp_path):
    (tmp_path / 'text.jpg').write_text('no image')
    Image.new('1', (10_000, 10_000)).save(tmp_path / 'large.png')
    for name, why in (
        ('text.jpg', 'The file is no image'),
        ('large.png', 'The photo has 100 megapixels; at most 50'),
    ):
        photo = client.handle_file(str(tmp_path / name))
        query = dict(sentence='a', photo=photo, api_name='/search')
        assert why in failing(composed, **query)


def test_an_upload_that_is_too_large(composed_page):
    files = dict(files=('a.jpg', b'a' * 1_000_000, 'image/jpeg'))
    address = f'{composed_page.local_url}gradio_api/upload'
    answer = httpx.post(address, files=files)
    assert answer.status_code == 413
    files = dict(files=('a.jpg', b'a' * 120_000, 'image/jpeg'))
    assert httpx.post(address, files=files).status_code == 413
    files = dict(files=('a.jpg', b'a' * 1000, 'image/jpeg'))
    assert httpx.post(address, files=files).status_code == 200


def call(page, **photo):
    """What a program that is no client of Gradio can send."""
    meta = dict(_type='gradio.FileData')
    data = ['now in red', '', 1, dict(photo, meta=meta), '']
    address = f'{page.local_url}gradio_api/call/search'
    answer = httpx.post(address, json=dict(data=data))
    if answer.status_code != 200:
        return answer.status_code, ''
    events = httpx.get(f'{address}/{answer.json()["event_id"]}')
    return answer.status_code, events.text


def test_a_photo_is_no_file_of_the_machine(composed_page, composed_gallery):
    """Uploads alone; neither files of the server nor of other hosts."""
    folder = composed_gallery[0]
    for path in (
        folder / 'photos/03.png',
        folder / 'model/model.pth',
        '/etc/passwd',
        '../../etc/passwd',
    ):
        status, events = call(composed_page, path=str(path))
        assert (status, 'event: error' in events) == (200, True)
        assert 'root:' not in events
    status, _ = call(composed_page, path='http://127.0.0.1:1/a.png')
    assert status == 403


def test_no_file_outside_the_gallery(text_page, text_gallery, tmp_path):
    """By Gradio's own routes; nor inside of it, but through the page."""
    folder = text_gallery[0]
    (tmp_path / 'secret.txt').write_text('secret')
    os.makedirs(tmp_path / 'work', exist_ok=True)
    for path in (
        '/etc/passwd',
        tmp_path / 'secret.txt',
        folder / 'votes.jsonl',
        folder / 'model/config.py',
        folder / 'store/manifest.json',
        folder / 'photos/03.png',
        Path.cwd() / 'setup.py',
        'setup.py',
        './setup.py',
        '../../../../../../../../etc/passwd',
        '..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd',
        f'{folder}/photos/../votes.jsonl',
        'http://127.0.0.1:1/a.png',
    ):
        for route in ('gradio_api/file=', 'file=', 'gradio_api/file/'):
            address = f'{text_page.local_url}{route}{path}'
            status = httpx.get(address).status_code
            assert status in (403, 404), (route, path)
    for route in ('static/', 'assets/', 'svelte/', 'custom_component/'):
        address = f'{text_page.local_url}{route}..%2f..%2f..%2f..%2fetc/passwd'
        assert httpx.get(address).status_code in (400, 403, 404, 422), route


def test_files_of_a_visit_lie_in_a_folder_that_goes(text_gallery, tmp_path):
    before = dict(os.environ)
    with serve(text_gallery) as page:
        found = connect(page, tmp_path)
        found.predict(id='03.png', api_name='/image')
        folder = Path(page.app.uploaded_file_dir)
        assert list(folder.rglob('*.jpeg'))
    assert not folder.exists()
    assert dict(os.environ) == before


def test_login(text_gallery, tmp_path):
    with serve(text_gallery, login=('anna', 'a secret')) as page:
        for route in ('config', 'gradio_api/info', 'gradio_api/file=/a'):
            answer = httpx.get(f'{page.local_url}{route}')
            assert answer.status_code == 401, route
        data = dict(data=['a', '', 1, None, ''])
        address = f'{page.local_url}gradio_api/call/search'
        assert httpx.post(address, json=data).status_code == 401
        files = dict(files=('a.jpg', b'a', 'image/jpeg'))
        address = f'{page.local_url}gradio_api/upload'
        assert httpx.post(address, files=files).status_code == 401
        with pytest.raises(Exception, match=r'(?i)auth|credentials|login'):
            connect(page, tmp_path, auth=('anna', 'another'))
        found = connect(page, tmp_path, auth=('anna', 'a secret'))
        assert found.predict(sentence='a', api_name='/search')['rows']


def test_a_port_that_is_taken(text_page, text_search):
    from mmtpr.page import served_page

    port = text_page.server_port
    with (
        pytest.raises(LaunchError, match=f'port {port}: .*--port'),
        served_page(text_search, port=port),
    ):
        pass


@pytest.mark.parametrize(
    ('host', 'local'),
    [
        ('127.0.0.1', True),
        ('127.1.2.3', True),
        ('localhost', True),
        ('[::1]', True),
        ('0.0.0.0', False),
        ('192.168.1.2', False),
        ('localhost.example', False),
        ('', False),
    ],
)
def test_hosts(host, local):
    assert is_local(host) == local


@pytest.mark.parametrize('login', [None, ('anna', 'a secret')])
def test_other_hosts_without_a_login_are_told_of(
    text_search, monkeypatch, caplog, login
):
    import mmtpr.page.server as server

    told, launched = [], {}
    monkeypatch.setattr(server, 'warn', told.append)
    page = SimpleNamespace(launch=launched.update, close=lambda verbose: None)
    monkeypatch.setattr(server, 'build_page', lambda *_: page)
    with server.served_page(text_search, '0.0.0.0', login=login):
        pass
    assert len(told) == (login is None)
    assert 'without --auth' in ''.join(told) or login
    assert launched['auth'] == (login and [login])
    assert launched['server_name'] == '0.0.0.0'
    assert launched['share'] is False


def test_the_login_of_a_file(tmp_path, monkeypatch):
    import mmtpr.page.server as server

    told = []
    monkeypatch.setattr(server, 'warn', told.append)
    file = tmp_path / 'password ä.txt'
    file.write_text('a: secret\n')
    file.chmod(0o600)
    assert read_login(f'anna:{file}') == ('anna', 'a: secret')
    assert not told
    file.chmod(0o644)
    read_login(f'anna:{file}')
    assert ('chmod 600' in ''.join(told)) == (os.name == 'posix')
    (tmp_path / 'empty').write_text(' \n')
    for text, why in (
        ('anna', 'is USER:FILE'),
        (f':{file}', 'is USER:FILE'),
        (f'anna:{tmp_path}/no', 'cannot be read: No such file'),
        (f'anna:{tmp_path}/empty', 'is empty'),
    ):
        with pytest.raises(LaunchError, match=why):
            read_login(text)
