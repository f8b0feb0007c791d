"""What every other package builds on; it imports none of them.

- `validation`: checks of single arguments
- `files`: the file format (versioned, checked, never unpickled)
- `arrays`: trained parameters, sparse rows, buffers, read-only views
- `jit`: decorators of kernels, and the cache of compiled code
- `threads`, `locks`, `guard`: how many threads may compute, locks that survive a fork, parallel kernels under several threads
"""
