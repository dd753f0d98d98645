"""Openly licensed data sets as contract folders."""
