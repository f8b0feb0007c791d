"""Compressed parameters beside full ones: quality at equal memory, speed, peak memory."""
