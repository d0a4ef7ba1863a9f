# The 27 attributes of the toy pre-training set (pretrain/label_names.json) as
# sentences: for label 0, for label 1.
_tops = ('black', 'white', 'grey', 'red', 'blue', 'green', 'yellow', 'purple')
_bottoms = (
    'black', 'blue', 'grey', 'white', 'brown', 'green', 'red', 'pink',
    'purple')

toy_prompts = [
    ('the person is a man', 'the person is a woman'),
    ('the person has short hair', 'the person has long hair'),
    ('the person has no dark hair', 'the person has dark hair'),
    ('the person wears no hat', 'the person wears a hat'),
    ('the person has no backpack', 'the person has a backpack'),
    ('the person has no shoulder bag', 'the person has a shoulder bag'),
    ('the person has no handbag or suitcase',
     'the person has a handbag or suitcase'),
    ('the person wears a short sleeved top',
     'the person wears a long sleeved top'),
    ('the person wears shorts or a skirt', 'the person wears long pants'),
    ('the person wears pants', 'the person wears a skirt'),
    *((f'the person wears no {colour} {part}',
       f'the person wears a {colour} {part}')
      for part, colours in (('top', _tops), ('bottom', _bottoms))
      for colour in colours),
]
