# Only C-level functions: see buffers.pxd.
