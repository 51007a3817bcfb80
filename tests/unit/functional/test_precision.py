"""Full precision holds inside, whichever of torch's switches was used, and everything is as it was afterwards."""

import pytest
import torch

from dsrna.functional.precision import full_precision

BACKENDS = torch.backends
OPERATIONS = {
    "cudnn.conv": BACKENDS.cudnn.conv,
    "cudnn.rnn": BACKENDS.cudnn.rnn,
    "cuda.matmul": BACKENDS.cuda.matmul,
    "mkldnn.conv": BACKENDS.mkldnn.conv,
    "mkldnn.matmul": BACKENDS.mkldnn.matmul,
}


def asked(question):
    try:
        return question()
    except RuntimeError:
        return "torch has no answer"


def state():
    return {name: operation.fp32_precision for name, operation in OPERATIONS.items()} | {
        "allow_tf32": asked(lambda: BACKENDS.cudnn.allow_tf32),
        "products": asked(torch.get_float32_matmul_precision),
        "autocast": torch.is_autocast_enabled("cpu"),
    }


def set_globally(precision):
    BACKENDS.fp32_precision = precision


SWITCHES = {
    "as torch starts": lambda: None,
    "TF32 off for convolutions": lambda: setattr(BACKENDS.cudnn, "allow_tf32", False),
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "TF32 everywhere, by the newer switch": lambda: set_globally("tf32"),
    "products by the newer switch": lambda: setattr(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
    "bfloat16 convolutions on the CPU": lambda: setattr(BACKENDS.mkldnn.conv, "fp32_precision", "bf16"),
}


@pytest.fixture
def _precision_as_it_was():
    before = {name: operation.fp32_precision for name, operation in OPERATIONS.items()}
    yield
    set_globally("none")
    BACKENDS.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("highest")
    for name, operation in OPERATIONS.items():
        if operation.fp32_precision != before[name]:
            operation.fp32_precision = before[name]


@pytest.mark.usefixtures("_precision_as_it_was")
@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_is_off_inside_and_restored(name):
    SWITCHES[name]()
    before = state()
    with pytest.raises(KeyError):
        fail_in_full_precision()
    assert state() == before


def fail_in_full_precision():
    with full_precision():
        assert {operation.fp32_precision for operation in OPERATIONS.values()} == {"ieee"}
        assert state()["allow_tf32"] is False
        assert state()["products"] == "highest"
        with full_precision():
            pass
        assert state()["products"] == "highest"
        raise KeyError


def test_products_are_those_of_float32_under_autocast():
    first, second = torch.rand(20, 30), torch.rand(30, 20)
    exact = (first.double() @ second.double()).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert (first @ second).dtype == torch.bfloat16
        with full_precision():
            product = first @ second
        assert (first @ second).dtype == torch.bfloat16
    assert product.dtype == torch.float32
    torch.testing.assert_close(product, exact, rtol=1e-6, atol=0)
