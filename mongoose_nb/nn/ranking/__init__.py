"""Re-ranking of a network's best outputs, trained after the network by `Network.fit_ranking`.

::

    Ranking (ranking.py)            candidates of a row, their scores, the best of them
      features.py (in nn)           tf-idf or another form of the rows, fitted and saved
      LinearRankers (linear.py)     a support vector machine for each label -> margins
      NeighbourVotes (neighbours.py)  nearest training rows by an inverted index -> shares of votes
      Mixture (mixture.py)          both in one score, chosen on held-out rows
      Lists (lists.py)              candidates of rows as one array
"""

from mongoose_nb.nn.ranking.linear import LinearRankers
from mongoose_nb.nn.ranking.lists import Lists, all_labels
from mongoose_nb.nn.ranking.mixture import Mixture
from mongoose_nb.nn.ranking.neighbours import NeighbourVotes
from mongoose_nb.nn.ranking.ranking import Ranking

__all__ = ["LinearRankers", "Lists", "Mixture", "NeighbourVotes", "Ranking", "all_labels"]
