"""Losses of the output layer. The kernels compute them; a class says which of their two forms it is, and what it means."""

from __future__ import annotations

from mongoose_nb.core.registry import Registered, register


class Loss(Registered, kind="loss"):
    """A loss over the outputs of a sample; training minimises its mean over a batch."""

    #: which form the kernels compute: cross-entropy over all outputs together, or a logistic loss for each output
    logistic = False


@register("loss", "softmax")
class Softmax(Loss):
    """Cross-entropy against the uniform distribution over a sample's labels; zero for a sample without labels."""


@register("loss", "logistic")
class Logistic(Loss):
    """One-vs-all: the sum over the outputs of the logistic loss, whether the output is a label of the sample."""

    logistic = True
