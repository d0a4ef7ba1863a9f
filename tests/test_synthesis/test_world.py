import numpy as np
import pytest

from mmtpr.synthesis import ProceduralWorld, sample_identities
from mmtpr.synthesis.drawing.palette import CLOTHES


@pytest.mark.parametrize('size', [(64, 32), (128, 64), (192, 64)])
def test_size_of_images(size):
    image = ProceduralWorld(size=size).draw(sample_identities(1)[0], 0)
    assert image.shape == (*size, 3)
    assert image.dtype == np.uint8
    assert image.std() > 10


def test_too_small_images_are_refused():
    with pytest.raises(ValueError, match='16 pixels'):
        ProceduralWorld(size=(8, 4))


def test_images_are_deterministic_and_views_differ():
    people = sample_identities(4)
    world = ProceduralWorld(size=(64, 32), seed=2)
    again = ProceduralWorld(size=(64, 32), seed=2)
    for person in people[::-1]:
        first = world.draw(person, 0)
        assert np.array_equal(first, again.draw(person, 0))
        assert np.abs(first - world.draw(person, 1).astype(float)).mean() > 8
    other = ProceduralWorld(size=(64, 32), seed=3)
    assert not np.array_equal(first, other.draw(people[0], 0))


def test_generate_gives_image_and_caption():
    world, person = ProceduralWorld(size=(64, 32)), sample_identities(1)[0]
    image, caption = world.generate(person, 3)
    assert np.array_equal(image, world.draw(person, 3))
    assert caption == world.describe(person, 3)


def test_colour_of_clothes_is_seen():
    """The middle of the chest tells red tops from blue ones."""
    world = ProceduralWorld(size=(64, 32))
    people = sample_identities(600)
    chest = {}
    for colour in ('red', 'blue'):
        wearers = [
            p
            for p in people
            if p.top_colour == colour and p.top in ('t-shirt', 'hoodie')
        ]
        images = np.stack([world.draw(p, 0) for p in wearers[:25]])
        chest[colour] = images[:, 20:30, 12:20].mean((0, 1, 2))
        assert np.argmax(chest[colour]) == np.argmax(CLOTHES[colour])
    assert chest['red'][0] > chest['blue'][0] + 30


def test_quality_makes_cleaner_images():
    people = sample_identities(20)

    def roughness(quality):
        world = ProceduralWorld(size=(64, 32), quality=quality)
        rows = [
            np.abs(np.diff(world.draw(p, 0).astype(float), axis=1)).mean()
            for p in people
        ]
        return np.mean(rows)

    assert roughness(3) < roughness(0.7)
