"""Many folds on the devices and machines that there are."""
