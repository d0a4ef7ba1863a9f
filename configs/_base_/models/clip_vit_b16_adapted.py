# The image encoder keeps its weights and gets adapters in every linear layer,
# attention included. What is not a linear layer there, and the text encoder,
# trains fully, as in the release of Filtering-WoRA.
_base_ = ['./clip_vit_b16.py']

image_linears = [
    dict(type=r'clip\.visual\..*\.attn\.(q|k|v|out_proj)'),
    dict(type=r'clip\.visual\..*\.mlp\.(c_fc|c_proj)'),
]
trainable = [
    r'clip\.visual\.(class_embedding|positional_embedding|proj|conv1\..*)',
    r'clip\.visual\..*ln_\w+\..*',
    r'clip\.(token_embedding|transformer|ln_final)\..*',
    r'clip\.(positional_embedding|text_projection)',
]
