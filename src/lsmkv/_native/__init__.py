"""The data plane: native modules over the plain C kernels in `kernels/`. Mechanism only, no
policy."""
