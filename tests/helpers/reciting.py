"""A language model that always says the same."""


def make_reciting(model, following):
    """Let the model say, after a token, always the same other one.

    ``following`` holds the next token of each token that matters. Nothing
    but the last token counts: layers add nothing to what goes through them.
    """
    import torch

    tokens = model.get_input_embeddings().weight
    heads = model.get_output_embeddings().weight
    assert tokens.data_ptr() != heads.data_ptr()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            ends = ('o_proj.weight', 'down_proj.weight')
            if name.endswith(ends) and 'visual' not in name:
                weight.zero_()
        tokens.zero_()
        heads.zero_()
        for place, (token, after) in enumerate(following.items()):
            tokens[token, place] = 1
            heads[after, place] = 100
    return model
