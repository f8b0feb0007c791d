"""A kind of attention of the user's own, as the documentation of `reformer.AttentionKind` shows."""

from mongoose_nb.attention import ScatterbrainAttention
from mongoose_nb.reformer import AttentionKind


class Local(AttentionKind):
    """The last tokens."""

    def __init__(self, window=8):
        self.window = window

    def attention(self, layer, rotations=None):
        return ScatterbrainAttention(0, "local", causal=True, window=self.window)

    def is_strict(self, layer):
        return True
