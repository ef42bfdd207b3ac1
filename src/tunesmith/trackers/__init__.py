"""Where metrics go; one file a tracker."""
