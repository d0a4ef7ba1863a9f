# Triplets as SynCPR was made: Qwen2.5 writes, FLUX.1 with a LoRA renders,
# Qwen2.5-VL judges. Published are the numbers of records and pairs, both
# directions, and the four questions of the judge; prompts, temperature, the
# lists below, resolution and thresholds are ours.
#   vllm serve Qwen/Qwen2.5-72B-Instruct-AWQ
#   python tools/synthesis/write_quadruples.py THIS runs/syncpr
#   python tools/synthesis/render_pairs.py THIS runs/syncpr
#   vllm serve Qwen/Qwen2.5-VL-7B-Instruct --limit-mm-per-prompt '{"image": 2}'
#   python tools/synthesis/judge_pairs.py THIS runs/syncpr --judge vlm
licences = dict(
    writer='Qwen2.5-72B-Instruct: Qwen licence, free below 100 M users',
    renderer='FLUX.1-schnell: Apache-2.0',
    judge='Qwen2.5-VL-7B-Instruct: Apache-2.0')

write = dict(
    num=140500,
    seed=0,
    metadata=dict(
        scene=['city street', 'station', 'park', 'shopping street', 'campus',
               'car park', 'office lobby', 'market', 'bus stop', 'bridge'],
        age=['child', 'teenage', 'young', 'middle-aged', 'old'],
        gender=['man', 'woman'],
        build=['slim', 'average', 'sturdy'],
        attire=['casual', 'sports', 'business', 'outdoor', 'summer', 'winter'],
        clarity=['sharp', 'sharp', 'slightly blurred', 'low light'],
        change=['the upper garment', 'the lower garment', 'the shoes',
                'what is carried', 'hat or glasses',
                'upper and lower garment', 'a garment and what is carried']),
    writer=dict(
        type='mmtpr.OpenAIWriter',
        model='Qwen/Qwen2.5-72B-Instruct-AWQ',
        base_url='http://localhost:8000/v1'))

# With lora='FOLDER' of a person LoRA: num_full and num_random pairs, and no
# per_record.
render = dict(
    per_record=10,
    renderer=dict(
        type='mmtpr.DiffusersRenderer',
        model='black-forest-labs/FLUX.1-schnell',
        height=1024,
        width=512,
        steps=4,
        guidance=0.0))

judges = dict(
    vlm=dict(type='mmtpr.OpenAIJudge', model='Qwen/Qwen2.5-VL-7B-Instruct'),
    image=dict(type='mmtpr.ImageJudge'))

# Published is what is judged, not where the line is.
assemble = dict(
    rule=[
        dict(field='vlm.quality', min=3.5),
        dict(field='vlm.same_person', min=3.5),
        dict(field='vlm.reference_fits', min=3.5),
        dict(field='vlm.target_fits', min=3.5),
        dict(field='vlm.sentence_leads', min=3.5)])
