"""Re-ranking of a network's best outputs, trained after the network by `Network.fit_ranking`.

::

    Ranking (ranking.py)              candidates of a row, their scores, the best of them
      features.py (in nn, and here)   tf-idf or another form of the rows, chosen, fitted and saved
      Source (source.py)              what is known of candidates; registered:
        LinearRankers (linear.py)     a support vector machine for each label -> margins
        NeighbourVotes (neighbours.py)  nearest training rows by an inverted index -> shares of votes
        Cooccurrence (cooccurrence.py)  counts of labels by feature -> shares
        NetworkSource (network_source.py)  the network -> logarithms of probabilities
        Propensity (propensity.py)    how seldom a label is
      Objective (objective.py)        what sources are weighed for: precision, or rare labels
      Mixture (mixture.py)            all in one score, weighed on held-out rows
      Lists (lists.py)                candidates of rows as one array
"""

from mongoose_nb.nn.ranking.cooccurrence import Cooccurrence
from mongoose_nb.nn.ranking.linear import LinearRankers
from mongoose_nb.nn.ranking.lists import Lists, all_labels
from mongoose_nb.nn.ranking.mixture import Mixture
from mongoose_nb.nn.ranking.neighbours import NeighbourVotes
from mongoose_nb.nn.ranking.network_source import NetworkSource
from mongoose_nb.nn.ranking.objective import Objective, Precision, PropensityScored
from mongoose_nb.nn.ranking.propensity import Propensity
from mongoose_nb.nn.ranking.ranking import Ranking, held_rows
from mongoose_nb.nn.ranking.source import Proposer, Query, Source, Training

__all__ = ["Cooccurrence", "LinearRankers", "Lists", "Mixture", "NeighbourVotes", "NetworkSource", "Objective", "Precision",
           "Propensity", "PropensityScored", "Proposer", "Query", "Ranking", "Source",
           "Training", "all_labels", "held_rows"]
