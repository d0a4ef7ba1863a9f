# Triplets as SynCPR was made: Qwen2.5 writes, FLUX.1 with a LoRA renders,
# Qwen2.5-VL judges. Published are the numbers of records and pairs, both
# directions, and the four questions of the judge; prompts, temperature, the
# lists below, resolution and thresholds are ours.
#   vllm serve Qwen/Qwen2.5-72B-Instruct-AWQ
#   python tools/synthesis/write_quadruples.py THIS runs/syncpr
licences = dict(
    writer='Qwen2.5-72B-Instruct: Qwen licence, free below 100 M users')

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
