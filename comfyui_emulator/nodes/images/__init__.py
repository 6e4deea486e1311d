"""Images and masks: loaded and saved, made, scaled, filtered, laid over each other."""
