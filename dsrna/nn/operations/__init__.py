"""The operations of all search spaces under their genotype names.

To add one: a class or function ``(channels_in, channels_out, stride, affine) -> nn.Module`` under
:func:`~dsrna.nn.operations.table.operation`, in a file of this folder or in a module that a space of yours imports; or
one that a package of yours names as an entry point of the group ``dsrna.operations``. None changes its input in place,
so that all can be differentiated twice.
"""

from dsrna.nn.operations.published import DilatedConv, SeparableConv, Zero
from dsrna.nn.operations.supernet_form import supernet_operation
from dsrna.nn.operations.table import OPERATIONS, OperationBuilder, operation

__all__ = ["OPERATIONS", "DilatedConv", "OperationBuilder", "SeparableConv", "Zero", "operation", "supernet_operation"]
