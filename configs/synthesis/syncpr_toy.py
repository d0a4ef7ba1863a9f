# The data engine where the truth is known: a grammar writes, the procedural
# world renders, the toy retriever of `make demo` judges. Four of ten pairs are
# faulty on purpose.
write = dict(
    num=600,
    seed=0,
    block_size=50,
    metadata=dict(gender=['man', 'woman']),
    # The grammar's wrong sentences are for the judges, not for this check.
    check=dict(names_difference=False),
    writer=dict(
        type='mmtpr.GrammarWriter',
        faults=dict(wrong_change=0.1, wrong_caption=0.05)))

render = dict(
    per_record=4,
    seed=0,
    renderer=dict(
        type='mmtpr.ProceduralRenderer',
        size=(64, 32),
        quality=2.0,
        world_seed=14,
        # Of pairs whose record is right: 15 % of all are faulty already.
        faults=dict(another_look=0.1, same_clothes=0.1, damaged=0.1)))

# Weights that `make demo` leaves, and a FAFA trained on all of these pairs.
retriever = dict(
    config='configs/toy/pretrain_toy_filtered.py',
    checkpoint='work_dirs/pretrain_toy_filtered/epoch_1.pth')
judges = dict(
    image=dict(type='mmtpr.ImageJudge'),
    relevance=dict(type='mmtpr.RelevanceJudge', **retriever),
    identity=dict(type='mmtpr.IdentityJudge', **retriever),
    composed=dict(
        type='mmtpr.ComposedJudge',
        config='configs/toy/fafa_synthesis_all_toy.py',
        checkpoint='work_dirs/fafa_synthesis_all_toy/iter_600.pth'))

assemble = dict(
    rule=[
        dict(field='image.typical', keep=0.9),
        dict(field='relevance.target', keep=0.85),
        dict(field='identity.head', keep=0.85),
        dict(field='composed.gain', keep=0.85)])
