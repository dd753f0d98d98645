"""The gate, the registry and the champion."""
