"""Learning to rank from the search log: judgements, features, one ranking SVM a query, nDCG."""
