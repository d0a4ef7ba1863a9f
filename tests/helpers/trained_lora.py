"""A LoRA trained by peft and saved by diffusers, as their scripts do it."""

import numpy as np

#: Their layers of FLUX.1 and FLUX.2-klein; rank and alpha differ.
LAYERS = ['to_k', 'to_q', 'to_v', 'to_out.0', 'to_qkv_mlp_proj']
RANK, ALPHA, STEPS = 8, 4, 10


def train_lora(pipeline, folder, render):
    """Train some steps and save; gives images of before and after."""
    import torch
    from diffusers.training_utils import _collate_lora_metadata
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    transformer, seen = pipeline.transformer, []
    hook = transformer.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    before = render(pipeline)
    hook.remove()
    transformer.requires_grad_(False)
    torch.manual_seed(0)
    transformer.add_adapter(
        LoraConfig(
            r=RANK,
            lora_alpha=ALPHA,
            init_lora_weights='gaussian',
            target_modules=LAYERS,
        )
    )
    free = [p for p in transformer.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(free, lr=0.1)
    given = dict(seen[0], return_dict=False)
    noise = given['hidden_states']  # of the first step
    wanted = noise - torch.randn_like(noise)  # to some latents
    losses = []
    for _ in range(STEPS):
        loss = (transformer(**given)[0] - wanted).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    after = render(pipeline)
    assert not np.array_equal(before, after)
    pipeline.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(transformer),
        **_collate_lora_metadata(dict(transformer=transformer)),
    )
    return before, after
