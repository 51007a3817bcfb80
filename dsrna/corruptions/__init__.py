"""Common corruptions of images at CIFAR-10-C's severities, generated on any device; and the published ones."""

from dsrna.corruptions.catalog import CORRUPTIONS, EXTRA, SEVERITIES, check, check_images, corrupt
from dsrna.corruptions.published import PublishedCorruptions

__all__ = ["CORRUPTIONS", "EXTRA", "SEVERITIES", "PublishedCorruptions", "check", "check_images", "corrupt"]
