"""Systems of the accuracy comparison, each in a process of its own, and those of others in an environment of their own.

::

    accuracy.py --settings as JSON--> NAME_worker.py, by the Python of its environment
                                        protocol.py: read, train, save, answer, all measured in one way
                <--last line, JSON---   ids of the best labels, seconds, bytes, memory, milliseconds

A worker imports its library, `protocol`, NumPy and SciPy, and nothing of mongoose_nb unless it runs in our own environment.
"""
