"""Updates of a store that are killed at random moments.

Run with the folder of a test. Everything is imported once, and each update
runs in a fork, which is killed: twenty interpreters would take minutes. What
embeds is a stand-in that is as quick as it is simple; what is tested is the
update around it.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch
from PIL import Image

from mmtpr.apis import update_gallery
from mmtpr.gallery import FaissStore, ModelIdentity
from mmtpr.models.embedder import Embedder

IMAGES, BROKEN, KILLS = 2000, 40, 20
IDENTITY = ModelIdentity('m', 'w', 't')
SHAPE = (3, 8)  # vectors an image, numbers a vector


def vectors_of(colours):
    """Vectors (B, 3, 8) of images of one colour each, (B, 3)."""
    steps = torch.arange(1, 9) / 8  # (8, )
    return colours.float()[:, :, None] * steps / 256


def load(entry):
    with Image.open(entry['img_path']) as image:
        return torch.tensor(image.convert('RGB').getpixel((0, 0)))


def update(folder, images):
    """One update in this process."""
    embedder = Embedder(load, torch.stack, vectors_of, batch_size=64)
    with FaissStore(folder, IDENTITY, write=True) as store:
        found = update_gallery(store, images, embedder, flush_every=256)
    return found


def colour_of(number, version):
    return (number % 256, number // 256, version)


def write_image(images, number, version):
    path = images / f'{number % 7}' / f'{number}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    if number % (IMAGES // BROKEN) == 7:
        path.write_bytes(b'no image %d' % version)
    else:
        Image.new('RGB', (4, 4), colour_of(number, version)).save(path)
    # Not the moment of writing, by which two versions may look alike.
    os.utime(path, ns=(version, version))


def first_state(images):
    for number in range(1500):
        write_image(images, number, 1)


def second_state(images):
    """Some are gone, some changed, some new: 2,000 are left."""
    for number in range(300):
        (images / f'{number % 7}' / f'{number}.png').unlink()
    for number in range(300, 700):
        write_image(images, number, 2)
    for number in range(1500, 2300):
        write_image(images, number, 2)


def forked(work, *arguments, wait=None):
    """Run something in a fork; True if it ended by itself."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work(*arguments)
            code = 0
        finally:
            os._exit(code)
    if wait is not None:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0, (work.__name__, arguments)
    return True


def check_state(folder):
    """Each item is that of the first or of the second state, as a whole."""
    store = FaissStore(folder, IDENTITY)
    assert store.verify() == []
    ids = store.ids()
    columns = store.columns(ids)
    colours = [
        colour_of(int(Path(name).stem), version)
        for name, version in zip(ids, columns['file_time'], strict=True)
    ]
    wanted = vectors_of(torch.tensor(colours)).half().float()
    assert torch.equal(store.fetch(ids), wanted)


def check_equal(folder, other):
    """Two stores hold the same."""
    one, two = FaissStore(folder), FaissStore(other)
    ids = sorted(one.ids())
    assert ids == sorted(two.ids())
    assert len(ids) == IMAGES - sum(
        n % (IMAGES // BROKEN) == 7 for n in range(300, 2300)
    )
    assert one.columns(ids) == two.columns(ids)
    assert one.notes == two.notes
    assert torch.equal(one.fetch(ids), two.fetch(ids))
    query = torch.ones(SHAPE[1])
    first, second = (s.search(query, 50, exact=True)[0] for s in (one, two))
    assert torch.equal(first.scores, second.scores)


def main(place):
    images, before = place / 'images', place / 'before'
    first_state(images)
    assert forked(update, before, images)
    second_state(images)
    never = place / 'never killed'
    shutil.copytree(before, never)
    start = time.perf_counter()
    assert forked(update, never, images)
    seconds = time.perf_counter() - start
    draw, killed, parts = random.Random(0), 0, set()
    for number in range(KILLS):
        folder = place / f'killed {number}'
        shutil.copytree(before, folder)
        # Sooner or later, on a machine of whatever speed.
        wait = draw.uniform(0, 0.95) * seconds
        killed += not forked(update, folder, images, wait=wait)
        manifest = json.loads((folder / 'manifest.json').read_text())
        parts.add(len(manifest['segments']))
        assert forked(check_state, folder)
        assert forked(update, folder, images)
        assert forked(check_equal, folder, never)
        shutil.rmtree(folder)
    sys.stdout.write(json.dumps(dict(killed=killed, states=len(parts))))


if __name__ == '__main__':
    main(Path(sys.argv[1]))
