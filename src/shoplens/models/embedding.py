"""What makes an embedding, and its code, of pooled features: the last part of an encoder.

`activation` is what codes are the sign of, `embedding` makes the embedding of it. The binarisation module (Pinterest,
section 3.3.2) is all that stands between the pooling and the task heads: an optional projection, GroupNorm, ReLU and
dropout, the last row of the paper's Table 1 (sm + gn + r + dp: 256 groups, p = 0.5). A code is the sign of the
activation before the ReLU (retrieval.codes); for a gallery, of that activation's mean over its photos. The sign of the
mean after the ReLU would say nothing: one photo with a positive activation makes it positive.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from shoplens.errors import ShoplensError
from shoplens.models.softmax_heads import standardised

SMALLEST_GROUP = 2


class Ending(nn.Module, ABC):
    """Pooled features (N, features) -> activations (N, width) -> embeddings (N, width)."""

    width: int

    @abstractmethod
    def activation(self, features: Tensor) -> Tensor:
        """What codes are the sign of."""

    @abstractmethod
    def embedding(self, activation: Tensor) -> Tensor:
        """What everything else uses."""

    def undropped(self, activation: Tensor) -> Tensor:
        """What `embedding` gives in evaluation, in training too."""
        return self.embedding(activation)

    def forward(self, features: Tensor) -> Tensor:
        """(N, features) -> embeddings (N, width)."""
        return self.embedding(self.activation(features))


class Projection(Ending):
    """A linear projection and ReLU; without a width the features as they are, which are no use as codes."""

    def __init__(self, features: int, width: int | None = None) -> None:
        """`features` come in; `width` is the embedding's."""
        super().__init__()
        self.width = features if width is None else width
        self.projection = nn.Identity() if width is None else nn.Linear(features, width)
        self.rectify = nn.Identity() if width is None else nn.ReLU()

    def activation(self, features: Tensor) -> Tensor:
        """(N, features) -> (N, width), before the ReLU."""
        projected: Tensor = self.projection(features)
        return projected

    def embedding(self, activation: Tensor) -> Tensor:
        """What `activation` gave -> embeddings (N, width)."""
        rectified: Tensor = self.rectify(activation)
        return rectified


class Standardised(Ending):
    """The baseline's module [33]: an optional linear projection, and LayerNorm without weights (Table 1, first rows).

    The softmax heads of such an encoder are NormSoftmaxHead.
    """

    def __init__(self, features: int, width: int | None = None) -> None:
        """`features` come in; `width` is the embedding's, None: that of the features."""
        super().__init__()
        self.width = features if width is None else width
        self.projection = nn.Identity() if width is None else nn.Linear(features, width)

    def activation(self, features: Tensor) -> Tensor:
        """(N, features) -> (N, width), each row centred at 0."""
        return standardised(self.projection(features))

    def embedding(self, activation: Tensor) -> Tensor:
        """The activation itself."""
        return activation


def check_groups(width: int, groups: int) -> None:
    """Can an embedding of `width` dimensions be normalised in `groups` groups?

    Raises:
        ShoplensError: if the groups are unequal, or of one dimension: less its own mean, that is 0 for every photo.
    """
    fitting = [number for number in range(1, width // SMALLEST_GROUP + 1) if width % number == 0]
    asked = f"train.groups: an embedding of {width} dimensions cannot be normalised in {groups} groups: "
    if groups < 1 or not fitting:
        raise ShoplensError(f"{asked}there must be a group, of at least {SMALLEST_GROUP} dimensions")
    closest = f"the closest number of groups that fits is {min(fitting, key=lambda number: abs(number - groups))}"
    if width < SMALLEST_GROUP * groups:
        raise ShoplensError(
            f"{asked}a group of one dimension normalises to 0 for every photo; "
            f"{groups} groups need a width of at least {SMALLEST_GROUP * groups}, and {closest}"
        )
    if width % groups:
        raise ShoplensError(f"{asked}{width} is not a multiple of {groups}; {closest}")


class EmbeddingModule(Ending):
    """Optional linear projection, GroupNorm, ReLU, dropout. Photos do not influence each other.

    In groups of two dimensions the two activations are each other's opposite (before the norm's own weights), so the
    code of a group holds one bit of information, not two.
    """

    def __init__(self, features: int, *, width: int | None = None, groups: int = 256, dropout: float = 0.5) -> None:
        """`features` come in; `width` is the embedding's, None: no projection, it is that of the features.

        Raises:
            ShoplensError: if the groups do not fit the width (see check_groups).
        """
        super().__init__()
        self.width = features if width is None else width
        check_groups(self.width, groups)
        self.projection = nn.Identity() if width is None else nn.Linear(features, width)
        self.norm = nn.GroupNorm(groups, self.width)
        self.rectify, self.dropout = nn.ReLU(), nn.Dropout(dropout)

    def activation(self, features: Tensor) -> Tensor:
        """(N, features) -> (N, width), before the ReLU: what codes are the sign of."""
        normalised: Tensor = self.norm(self.projection(features))
        return normalised

    def embedding(self, activation: Tensor) -> Tensor:
        """What `activation` gave, (N, width) -> embeddings (N, width), at least 0; dropout in training only."""
        dropped: Tensor = self.dropout(self.undropped(activation))
        return dropped

    def undropped(self, activation: Tensor) -> Tensor:
        """The same without dropout."""
        rectified: Tensor = self.rectify(activation)
        return rectified
