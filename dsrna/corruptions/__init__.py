"""Common corruptions of images at CIFAR-10-C's severities, generated on any device."""

from dsrna.corruptions.catalog import CORRUPTIONS, SEVERITIES, corrupt

__all__ = ["CORRUPTIONS", "SEVERITIES", "corrupt"]
