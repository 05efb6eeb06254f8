"""Own the measurements: the product and a naive build of the same job, side by side on one machine."""

import warnings

# The wheel of Postgres asks, when imported, for a runtime directory that a bare machine does not have.
warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
