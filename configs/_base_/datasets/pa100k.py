# PA-100K, images with 26 attributes, and the sentences that APTM tells each
# attribute by: without it, with it, in the order of the labels.
pa100k_root = 'data/PA-100K'

pa100k_train = dict(
    type='mmtpr.PA100K',
    data_root=pa100k_root,
    ann_file='annotation.mat',
    data_prefix=dict(img_path='release_data'),
    split='train')
pa100k_val = dict(
    type='mmtpr.PA100K',
    data_root=pa100k_root,
    ann_file='annotation.mat',
    data_prefix=dict(img_path='release_data'),
    split='val',
    test_mode=True)
pa100k_test = dict(
    type='mmtpr.PA100K',
    data_root=pa100k_root,
    ann_file='annotation.mat',
    data_prefix=dict(img_path='release_data'),
    split='test',
    test_mode=True)

# Word for word as released: "stride" and "the upper clothes" of the stripe,
# which is the lower part's in PA-100K, are what its checkpoints were made with.
pa100k_prompts = [
    ('the person is a man', 'the person is a woman'),
    ('the person is no more than 60 years old',
     'the person is older than 60 years old'),
    ('the person is a young or old one',
     'the person is of mid age, between 18 and 60 years old'),
    ('the person is older than 18',
     'the person is a baby or a teenager, younger than 18'),
    ('the image is not the front of the person',
     'the image shows the front of the person'),
    ('the image is not the side of the person',
     'the image shows the side of the person'),
    ('the image is not the back of the person',
     'the image shows the back of the person'),
    ('a person without a hat', 'a person with a hat'),
    ('a person without a glasses', 'a person with a glasses'),
    ('a person without a handbag', 'a person with a handbag'),
    ('a person without a shoulder bag', 'a person with a shoulder bag'),
    ('a person without a backpack', 'a person with a backpack'),
    ('the person does not hold an object in front',
     'the person hold an object in front'),
    ('the person does not wear short sleeved upper clothes',
     'the person wears short sleeved upper clothes'),
    ('the person does not wear long sleeved upper clothes',
     'the person wears long sleeved upper clothes'),
    ('there is no stride on the upper clothes of the person',
     'there is stride on the upper clothes of the person'),
    ('there is no logo on the upper clothes of the person',
     'there is logo on the upper clothes of the person'),
    ('there is no plaid on the upper clothes of the person',
     'there is plaid on the upper clothes of the person'),
    ('there is no splice on the upper clothes of the person',
     'there is splice on the upper clothes of the person'),
    ('there is no stripe on the upper clothes of the person',
     'there is stripe on the upper clothes of the person'),
    ('there is no pattern on the lower part of the person',
     'there is pattern on the lower part of the person'),
    ('the person does not wear long coat', 'the person wears long coat'),
    ('the person does not wear trousers', 'the person wears trousers'),
    ('the person does not wear shorts', 'the person wears shorts'),
    ('the person does not wear a skirt or a dress',
     'the person wears a skirt or a dress'),
    ('the person does not wear boots', 'the person wears boots'),
]
