"""What can go wrong while a model is brought, converted or installed. Every text is one sentence for the operator.

All are `shared.errors.StartupError`: whoever starts a process or runs a command shows the text and exits non-zero.
"""

from __future__ import annotations

from shared.errors import StartupError


class ZooError(StartupError):
    """The root of this package's errors."""


class CfgError(ZooError):
    """A darknet cfg that cannot be converted; the text names the section and its line."""


class WeightsError(ZooError):
    """A darknet weights file that does not fit its cfg."""


class NamesError(ZooError):
    """A file of labels, of a label tree or of a map that cannot be read; the text names the file and its line."""


class ContractError(ZooError):
    """An ONNX model that does not have the signature of `shared.manifest`."""


class ForeignModelError(ZooError):
    """Somebody else's ONNX file that is unsafe, damaged, of no known form, or does not fit what was said of it."""


class RepositoryError(ZooError):
    """A model that cannot be written to the models folder."""


class CatalogError(ZooError):
    """A model that the catalog does not know, or a damaged catalog."""


class PullError(ZooError):
    """No source of a model answered with the right bytes; the text lists each source and why it failed."""


class PrecisionError(ZooError):
    """A model that cannot be had in another precision, or pictures that do not do for that."""
