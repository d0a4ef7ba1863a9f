# The 27 attributes of MALS as sentences: for label 0, for label 1. These are
# those of APTM's release, whose labels count some things the wrong way round.
_tops = ('black', 'white', 'red', 'purple', 'yellow', 'blue', 'green', 'gray')
_bottoms = (
    'black', 'white', 'purple', 'yellow', 'blue', 'green', 'pink', 'gray',
    'brown')

mals_prompts = [
    ('the person is a woman', 'the person is a man'),
    ('the person is younger than 18 years old',
     'the person is older than 18 years old'),
    ('the person with short hair', 'the person with long hair'),
    ('the person with a hat', 'the person without a hat'),
    ('the person with a backpack', 'the person without a backpack'),
    ('the person with a handbag', 'the person without a handbag'),
    ('the person with a bag', 'the person without a bag'),
    ('the person wears long sleeved upper clothes',
     'the person wears short sleeved upper clothes'),
    ('the person wears long dress or long pants',
     'the person wears short dress or short pants'),
    ('the person wears dress or skirt', 'the person wears pants or shorts'),
    *((f'the person wears {colour} {part} clothes',
       f'the person does not wear {colour} {part} clothes')
      for part, colours in (('upper', _tops), ('lower', _bottoms))
      for colour in colours),
]
