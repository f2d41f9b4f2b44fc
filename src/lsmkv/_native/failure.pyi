# Only C-level functions: see failure.pxd.
