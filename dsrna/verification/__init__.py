"""Robustness proved image by image, with attacks beside the proofs that say how much they leave open.

Any torch module (N, C, H, W) -> logits (N, K) can be verified, if the bound engines have a rule for its operations:

>>> import tempfile, torch
>>> from pathlib import Path
>>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2, bias=False))
>>> _ = network[1].weight.data.copy_(torch.eye(2))
>>> x, y = torch.tensor([0.5, 0.3]).view(1, 1, 1, 2), torch.tensor([0])
>>> settings = Verification(engines=["ibp"], norm="linf", eps=[0.05, 0.2], images=1)
>>> result = verify(network, (x, y), settings, seed=0, folder=Path(tempfile.mkdtemp()))
>>> [(point["eps"], point["certified"], point["standing"]) for point in result["curve"]]
[(0.05, 1.0, 1.0), (0.2, 0.0, 0.0)]
>>> round(result["radius"]["mean"], 3)  # f_0 - f_1 = 0.2, and each pixel can take eps of it
0.1
"""

from dsrna.verification.settings import Verification
from dsrna.verification.verdict import Verdict
from dsrna.verification.verifier import verify

__all__ = ["Verdict", "Verification", "verify"]
