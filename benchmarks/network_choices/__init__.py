"""What helps a network by itself to generalise: dropout, smoothed labels, rows that start from centroids, several networks."""
