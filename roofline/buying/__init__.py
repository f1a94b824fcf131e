"""The buyer's questions: prices, costs, the ranking of hardware, how much of it a load needs."""
