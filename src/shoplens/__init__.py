"""shoplens: one visual representation of listings, proved on held-out data and served."""

__version__ = "0.1.0"
