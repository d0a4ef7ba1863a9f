"""The page in a real browser, without a screen."""

import json
import os
import re
import shutil
from urllib.parse import urlparse

import pytest
from served_page import page_on_free_port, page_search, write_head

pytest.importorskip('gradio', reason='the extra [demo] is not installed')
playwright = pytest.importorskip('playwright.sync_api')

BROWSER = os.environ.get('MMTPR_CHROMIUM') or next(
    filter(None, map(shutil.which, ('chromium', 'google-chrome', 'chrome'))),
    None,
)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason='there is no Chromium'),
    pytest.mark.timeout(300),
]
#: Seconds in which a slow machine answers; nothing waits that long else.
PATIENCE = 60


@pytest.fixture(scope='module')
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=BROWSER, args=['--no-sandbox']
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a page; what it asked for, and its errors, are kept."""
    visits = []

    def open_page(served):
        context = browser.new_context(viewport=dict(width=1280, height=1000))
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        playwright.expect.set_options(timeout=PATIENCE * 1000)
        page.asked, page.wrong = [], []
        page.on('request', lambda request: page.asked.append(request.url))
        page.on('pageerror', lambda error: page.wrong.append(str(error)))
        page.goto(served.local_url)
        playwright.expect(page.locator('#sentence textarea')).to_be_visible()
        visits.append((context, page))
        return page

    yield open_page
    for context, page in visits:
        hosts = {
            urlparse(address).hostname
            for address in page.asked
            if not address.startswith(('data:', 'blob:'))
        }
        assert hosts == {'127.0.0.1'}
        assert not page.wrong
        context.close()


@pytest.fixture(scope='module')
def composed_page(composed_gallery):
    with page_on_free_port(page_search(*composed_gallery)) as page:
        yield page


@pytest.fixture(scope='module')
def text_page(text_gallery):
    search = page_search(*text_gallery)
    with page_on_free_port(search, megabytes=0.5) as page:
        yield page


def told(page, what):
    """Wait for a sentence of the page."""
    playwright.expect(page.locator('#told')).to_contain_text(
        re.compile(what) if isinstance(what, str) else what
    )
    return page.inner_text('#told')


def search(page, sentence, where=None):
    page.fill('#sentence textarea', sentence)
    if where is not None:
        page.fill('#where textarea, #where input', where)
    page.click('#search')


def shown(page, number=10):
    """Ids of the images that are seen, once all are loaded."""
    images = page.locator('#grid button img')
    playwright.expect(images).to_have_count(number)
    for index in range(number):
        images.nth(index).scroll_into_view_if_needed()
    page.wait_for_function(
        "[...document.querySelectorAll('#grid button img')]"
        '.every(image => image.complete && image.naturalWidth > 0)'
    )
    alts = [images.nth(n).get_attribute('alt') for n in range(number)]
    return [alt.split()[-1] for alt in alts]


def changed(page, former):
    """Ids of the images once they are others."""
    page.wait_for_function(
        'former => { const alts = [...document.querySelectorAll('
        "'#grid button img')].map(x => x.alt.split(' ').pop());"
        'return alts.length && alts.join() !== former.join() }',
        arg=former,
    )
    number = page.locator('#grid button img').count()
    return shown(page, number)


def test_from_a_sentence_to_others_like_one(
    visit, composed_page, composed_gallery, composed_search
):
    """Sentence, ten images, one of them, another sentence, others."""
    page = visit(composed_page)
    search(page, 'a man in red')
    told(page, 'Images 1 to 10')
    first = shown(page)
    found = composed_search.search('a man in red')
    assert first == [row['id'] for row in found.rows]

    page.locator('#grid button').nth(2).click()
    told(page, 'Image 3 is chosen')
    assert first[2] in page.inner_text('#chosen')
    page.click('#fits')
    told(page, f'It is kept that "{first[2]}" fits')
    page.click('#like')
    told(page, 'say what is different')
    playwright.expect(page.locator('#photo img')).to_be_visible()

    search(page, 'now in blue')
    second = changed(page, first)
    assert first[2] not in second
    like = composed_search.like(first[2])
    found = composed_search.search('now in blue', like)
    assert second == [row['id'] for row in found.rows]
    playwright.expect(page.locator('#fits')).to_be_disabled()

    page.click('#on')
    told(page, 'Images 11 to 20')
    third = changed(page, second)
    assert not set(third) & set(second)
    page.locator('#grid button').nth(0).click()
    told(page, 'Image 11 is chosen')
    page.click('#fails')
    told(page, f'"{third[0]}" does not fit')
    page.click('#on')
    told(page, 'Images 21 to 24.*There are no more')
    playwright.expect(page.locator('#on')).to_be_disabled()
    page.click('#back')
    assert changed(page, shown(page, 4)) == third

    file = composed_gallery[0] / 'votes.jsonl'
    lines = file.read_text('utf-8').splitlines()
    one, two = (json.loads(line) for line in lines[-2:])
    assert (one['id'], one['vote'], one['reference']) == (first[2], 1, None)
    assert (two['id'], two['vote']) == (third[0], -1)
    assert (two['query'], two['rank']) == ('now in blue', 11)
    assert two['reference'] == dict(id=first[2])
    page.click('#clear')
    told(page, 'without a photo')
    search(page, 'a man in red')
    assert changed(page, third) == first


def test_by_keyboard_alone(visit, text_page):
    """Every control can be reached, and does what a click does."""
    page = visit(text_page)
    page.focus('#sentence textarea')
    page.keyboard.type('a man in red')
    reached = []

    def go_to(selector):
        for _ in range(60):
            page.keyboard.press('Tab')
            if page.evaluate(
                'name => !!document.activeElement.closest(name)', selector
            ):
                reached.append(selector)
                return
        pytest.fail(f'{selector} is not reached after {reached}')

    go_to('#where')
    go_to('#search')
    page.keyboard.press('Enter')
    told(page, 'Images 1 to 10')
    first = shown(page)
    go_to('#grid button')
    page.keyboard.press('Enter')
    told(page, 'Image 1 is chosen')
    go_to('#on')
    go_to('#fits')
    page.keyboard.press('Space')
    told(page, f'"{first[0]}" fits')
    page.focus('#search')
    go_to('#on')
    page.keyboard.press('Enter')
    told(page, 'Images 11 to 20')


def test_a_model_of_sentences_has_no_photo(visit, text_page):
    page = visit(text_page)
    for name in ('#photo', '#upload', '#like', '#clear'):
        assert page.locator(name).count() == 0
    playwright.expect(page.locator('#fits')).to_be_visible()


@pytest.mark.parametrize(
    ('sentence', 'where', 'why'),
    [
        ('', '', 'The sentence is empty'),
        ('a' * 20_001, '', '20,001 characters; at most 20,000'),
        ('a man ' * 1700, '', 'too long for the text tower'),
        ('a man 人', '', 'no token for 1 letters .*人'),
        ('a man', 'camera', 'expected a comparison'),
        ('a man', 'import os', 'cannot be read at character'),
        ('a man', 'colour == 1', 'There is no column "colour"; there are'),
        ('a <b>man</b> ${1+1} {{2+2}} 人', '', re.compile(
            r'a <b>man</b> \$\{1\+1\} \{\{2\+2\}\} 人')),
    ],
)  # fmt: skip
def test_messages_reach_the_user(visit, text_page, sentence, where, why):
    page = visit(text_page)
    search(page, sentence, where)
    line = told(page, why)
    assert 'Traceback' not in line
    # After a mistake the page goes on.
    search(page, 'a man', 'camera == 1')
    told(page, 'Images 1 to 8')
    assert len(shown(page, 8)) == 8


def test_columns_can_be_looked_up(visit, text_page):
    page = visit(text_page)
    page.get_by_text('Columns').first.click()
    playwright.expect(page.get_by_text('camera == 3').first).to_be_visible()


def test_photos(visit, composed_gallery, tmp_path):
    folder = composed_gallery[0]
    photo = folder / 'photos/07.png'
    (tmp_path / 'text.png').write_text('no image')
    write_head(tmp_path / 'large.png', 10_000, 10_000)
    (tmp_path / 'heavy.png').write_bytes(photo.read_bytes() + b'0' * 600_000)
    search_ = page_search(*composed_gallery)
    with page_on_free_port(search_, megabytes=0.5) as served:
        page = visit(served)
        upload = page.locator('#upload input[type=file], input[type=file]')
        for name, why in (
            ('text.png', 'The file is no image that can be read'),
            ('large.png', '100 megapixels; at most 50'),
        ):
            upload.first.set_input_files(tmp_path / name)
            told(page, why)
        upload.first.set_input_files(tmp_path / 'heavy.png')
        large = page.get_by_text(re.compile('exceeds|maximum', re.I))
        playwright.expect(large.first).to_be_visible()
        upload.first.set_input_files(photo)
        told(page, 'say what is different')
        search(page, 'now in blue')
        told(page, 'Images 1 to 10')
        own = search_.like('07.png')
        found = search_.search('now in blue', own)
        ids = [row['id'] for row in found.rows]
        # The copy that was brought is not the image of the gallery itself.
        assert set(shown(page)) <= {*ids, '07.png'}
