"""Rows in the forms that other programs read: `base` is the contract, `writers` says which there are."""
