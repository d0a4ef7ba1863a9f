"""Pairs of a generated image and its edited copy."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from mmtpr.registry import SYNTHESIS
from mmtpr.utils.errors import LaunchError

from ..metadata import record_seed
from .base import Pair, PairRenderer, RenderRequest
from .diffusers_renderer import REFUSED, TOO_LONG, checked_pair
from .diffusion import DiffusionModel
from .prompt import EDIT_VERSION, edit_prompt, reference_prompt

_EDIT = 55  # stream of randomness


@SYNTHESIS.register_module()
class EditingRenderer(PairRenderer):
    """A reference image, and a target that an editing pipeline makes of it.

    Pairs are rendered one by one: to many editing pipelines a list of images
    is several references of one image. Needs the extra ``[synthesis]``.

    Args:
        model (str): Name at the hub or folder of the editing pipeline, such
            as those of FLUX.2-klein, FLUX.1-Kontext or Qwen-Image-Edit.
        reference (Mapping[str, Any], optional): Arguments of
            :class:`DiffusionModel` for the reference images. Defaults to
            None: the editing pipeline makes them too, of a text alone.
        height (int): Of an image in pixels. Defaults to 1024.
        width (int): Likewise. Defaults to 512.
        steps (int): Steps of denoising. Defaults to 4.
        guidance (float): Guidance scale. Defaults to 1.
        **kwargs: Of :class:`DiffusionModel`: ``dtype``, ``device``,
            ``offload``, ``compile``, ``call``.
    """

    prompt_version = EDIT_VERSION

    def __init__(
        self,
        model: str,
        reference: Mapping[str, Any] | None = None,
        height: int = 1024,
        width: int = 512,
        steps: int = 4,
        guidance: float = 1.0,
        **kwargs: Any,
    ) -> None:
        self.name, self.size = model, (height, width)
        self.editor = DiffusionModel(model, steps, guidance, **kwargs)
        self.reference = self.editor
        if reference:
            own = dict(steps=steps, guidance=guidance, **kwargs)
            self.reference = DiffusionModel(**{**own, **reference})

    def settings(self) -> dict[str, Any]:
        """See :meth:`PairRenderer.settings`."""
        return dict(
            renderer='EditingRenderer',
            prompt=self.prompt_version,
            size=list(self.size),
            editor=self.editor.settings(),
            reference=self.reference.settings(),
        )

    def render(
        self, requests: Sequence[RenderRequest]
    ) -> Iterator[tuple[RenderRequest, Pair]]:
        """See :meth:`PairRenderer.render`."""
        editor = type(self.editor.pipeline)
        if 'image' not in editor.__call__.__annotations__:
            raise LaunchError(
                f'The pipeline "{self.name}" ({editor.__name__}) edits no '
                'images.'
            )
        for request in requests:
            yield request, self._render(request)

    def _render(self, request: RenderRequest) -> Pair:
        record = request.record
        asked = reference_prompt(record), edit_prompt(record)
        models = self.reference, self.editor
        if not all(
            model.reads_whole(prompt)
            for model, prompt in zip(models, asked, strict=True)
        ):
            return Pair(None, None, problem=TOO_LONG)
        (reference,) = self.reference.generate(
            [asked[0]], [request.seed], self.size
        )
        if reference is None:
            return Pair(None, None, problem=REFUSED)
        (target,) = self.editor.generate(
            [asked[1]],
            [record_seed(request.seed, _EDIT)],
            self.size,
            image=Image.fromarray(reference),
        )
        if target is None:
            return Pair(None, None, problem=REFUSED)
        return checked_pair(reference, target)
