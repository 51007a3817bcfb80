"""Published networks by the interface of the Hugging Face Hub; needs ``pip install 'dsrna[hub]'``.

>>> from dsrna.hub import HubNetwork
>>> network = HubNetwork.from_pretrained("FOLDER")  # doctest: +SKIP
>>> network.push_to_hub("OWNER/NAME")  # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dsrna.errors import MissingPartError
from dsrna.training.published_network import About, load_published, save_published
from dsrna.training.trained_network import Description, TrainedNetwork

try:
    from huggingface_hub import PyTorchModelHubMixin, snapshot_download
except ImportError as error:
    raise MissingPartError("dsrna.hub needs huggingface_hub, not installed here: pip install 'dsrna[hub]'") from error


class HubNetwork(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="dsrna",
    pipeline_tag="image-classification",
    tags=["adversarial-robustness", "neural-architecture-search"],
):
    """Logits (N, K) of images (N, C, H, W) in [0, 1], by a network of :func:`dsrna.publish`.

    ``from_pretrained`` takes a folder, which needs no network, or ``OWNER/NAME`` on the Hub; ``save_pretrained`` and
    ``push_to_hub`` write such a folder. The mixin's own loading would take weights that miss some keys, and pickled
    ones where there are no others: here all are checked as :func:`dsrna.load` does, and none is unpickled.

    Args:
        network: the network.
        description: what builds it again.
        about: what its config says of it.
    """

    def __init__(self, network: TrainedNetwork, description: Description, about: About) -> None:
        super().__init__()
        self.network = network
        self.description, self.about = description, about

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.network(x)
        return logits

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        map_location: str = "cpu",
        **_: Any,
    ) -> HubNetwork:
        folder = Path(model_id)
        if not folder.is_dir():
            folder = Path(
                snapshot_download(
                    model_id,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                )
            )
        return cls(*load_published(folder)).eval().to(map_location)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_published(save_directory, self.description, self.network.state_dict(), self.about)
