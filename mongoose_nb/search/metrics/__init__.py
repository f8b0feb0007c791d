"""Search metrics: one class in one file each.

::

    base.Metric                     what a metric declares, and its exact distances
      |- cosine.Cosine              rows of length one
      |- euclidean.Euclidean        "l2"
      |- squared_euclidean.SquaredEuclidean
      |- inner_product.InnerProduct "ip"
      |- jaccard.Jaccard            sets
      `- hamming.Hamming            bits

A metric of one's own is a class outside the package:

- It derives from one of these and gives `transform`, where a change of the rows turns it into that metric: a weighted Euclidean distance
  scales the columns. Such an index is as fast as that of the base.
- It gives `distances`, where it is none of them: rows are hashed as for its base, and the nearest candidates by the base (``rerank * k``
  of them) are compared by that NumPy function.
"""

from mongoose_nb.search.metrics.base import Metric
from mongoose_nb.search.metrics.cosine import Cosine
from mongoose_nb.search.metrics.euclidean import Euclidean
from mongoose_nb.search.metrics.hamming import Hamming
from mongoose_nb.search.metrics.inner_product import InnerProduct
from mongoose_nb.search.metrics.jaccard import Jaccard
from mongoose_nb.search.metrics.squared_euclidean import SquaredEuclidean

__all__ = ["Cosine", "Euclidean", "Hamming", "InnerProduct", "Jaccard", "Metric", "SquaredEuclidean"]
