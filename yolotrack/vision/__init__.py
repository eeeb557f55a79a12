"""What sees: `base` holds the contracts, `detector` and `tracker` build what the settings name."""
