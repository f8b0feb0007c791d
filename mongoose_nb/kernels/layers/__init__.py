"""Kernels of layers: dense and sparse products, losses, optimiser steps."""
