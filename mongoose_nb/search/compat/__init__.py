"""Adapters: `LSHIndex` behind the interfaces of faiss and hnswlib."""
